"""Queries, one file a subject."""
