"""The little Markdown that the guides to presets are written in: ``*emphasis*`` and code between backticks."""

import re

from markupsafe import Markup, escape

_MARKED = re.compile(r"`(?P<code>[^`]+)`|\*(?P<em>[^*]+)\*")


def render_markdown(text: str) -> Markup:
    """Returns a text as HTML; all that is not emphasis or code is shown as it is."""
    return Markup(_MARKED.sub(_element, str(escape(text))))  # noqa: S704  # escaped before


def _element(found: re.Match[str]) -> str:
    tag = found.lastgroup
    return f"<{tag}>{found[tag or 0]}</{tag}>"
