"""JSON and query strings to domain values and back, one file a subject.

Limits stand in ``limits``, formats in ``formats``.
"""
