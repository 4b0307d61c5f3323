"""Views, one file for each resource: they read a request, make one call, and turn its result into a response."""
