"""Search: which texts count as equal."""

from unicodedata import normalize


def fold(text: str) -> str:
    """Folds the case of a text for search, in the same way for every database.

    The rules are Unicode's (chapter 3.13, canonical caseless matching); both the dotted and the dotless i of Turkish
    are folded to i.
    """
    if text.isascii():
        return text.lower()
    folded = normalize("NFC", normalize("NFC", text).casefold())
    return folded.replace("i\u0307", "i").replace("\u0131", "i")
