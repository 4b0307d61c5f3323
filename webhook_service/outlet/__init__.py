"""The way out: consumers, what they are given of the feed, and what they could not take."""
