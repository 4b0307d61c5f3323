"""Providers, one file each. None knows of Flask or of a database."""
