"""Serving with gunicorn: the worker that takes deliveries in by the round, and its connections."""
