"""Serving with gunicorn: the worker that takes in deliveries in rounds, and its connections."""
