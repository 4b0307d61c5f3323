"""Converts JSON and query strings to domain values and back, one file for each subject.

Limits are in ``domain.limits``, formats in ``domain.formats``.
"""
