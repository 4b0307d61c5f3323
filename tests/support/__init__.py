"""What the tests stand on: databases, a real server, signed deliveries."""
