"""Messages out: consumers that acknowledge, and destinations that are pushed to."""
