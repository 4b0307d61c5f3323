"""JSON and query strings to domain objects and back, one file a subject.

What a field may hold is said here and nowhere else.
"""
