"""Queries, one file for each subject."""
