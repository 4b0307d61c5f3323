"""Finds the word that a misspelt one may stand for."""

from collections.abc import Collection
from difflib import get_close_matches


def nearest(word: str, known: Collection[str]) -> str | None:
    """Returns the known word that is most like ``word``; None when no word is much like it."""
    transposed = [name for name in known if sorted(name) == sorted(word.lower())]
    matches = transposed or get_close_matches(word.lower(), known, n=1)
    return matches[0] if matches else None
