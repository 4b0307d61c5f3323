"""The foundations of the tests: databases, a real server, signed deliveries."""
