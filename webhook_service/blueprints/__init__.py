"""HTTP: a request to domain objects, one call, and its result to a response."""
