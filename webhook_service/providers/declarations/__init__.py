"""The parts of a declared provider: each reads its table of the configuration and does what the table says."""
