"""The page that shows the document by RapiDoc (https://rapidocweb.com), served from here with all that it needs."""

from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from typing import Self

_FOLDER = Path(__file__).with_name("page")
_PARTS = {
    "page.js": (_FOLDER / "page.js", "text/javascript; charset=utf-8"),
    "page.css": (_FOLDER / "page.css", "text/css; charset=utf-8"),
    "rapidoc-min.js": (_FOLDER / "rapidoc" / "rapidoc-min.js", "text/javascript; charset=utf-8"),
}


@dataclass(frozen=True, slots=True)
class Part:
    """A script or a style sheet of the page."""

    content_type: str
    content: bytes


@dataclass(frozen=True, slots=True)
class DocsPage:
    """The page in HTML, and its parts by name; ``version``, a hash of their content, is in their URLs."""

    html: str
    version: str
    parts: dict[str, Part]

    @classmethod
    def read(cls) -> Self:
        """Reads the page from the package."""
        parts = {name: Part(content_type, path.read_bytes()) for name, (path, content_type) in _PARTS.items()}
        version = sha256(b"".join(part.content for part in parts.values())).hexdigest()[:16]
        html = (_FOLDER / "page.html").read_text(encoding="utf-8").replace("{version}", version)
        return cls(html, version, parts)
