"""A self-hosted inbox for provider messages: verify, store exactly once, read back."""
