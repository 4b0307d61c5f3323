"""Views, one file a resource: a request becomes domain values, one call follows, and its result becomes a response."""
