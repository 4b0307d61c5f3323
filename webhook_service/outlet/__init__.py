"""The way out: leases for consumers, pushes to destinations, dead letters, and waiting for messages."""
