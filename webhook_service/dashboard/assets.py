"""Style sheets, scripts and pictures, at addresses that change with their content."""

import gzip
from dataclasses import dataclass
from functools import cache
from hashlib import sha256
from mimetypes import guess_type
from pathlib import Path

from flask import Response, abort, request

from webhook_service.dashboard.pages import Pages
from webhook_service.web.access import Guard

FOLDER = Path(__file__).parent / "static"
FOREVER = "public, max-age=31536000, immutable"  # a changed file has another address

_SERVED = frozenset({".css", ".js", ".svg"})


@dataclass(frozen=True, slots=True)
class Asset:
    """A file, plain and compressed, with the first 16 hexadecimal digits of its SHA-256."""

    content: bytes
    compressed: bytes
    digest: str
    media_type: str


@cache
def assets() -> dict[str, Asset]:
    """Reads all files, by their path below the folder."""
    files = (file for file in sorted(FOLDER.rglob("*")) if file.suffix in _SERVED)
    return {file.relative_to(FOLDER).as_posix(): _read(file) for file in files}


def asset_path(name: str) -> str:
    """Returns the part of an asset's address that follows ``/dashboard/static/``."""
    return f"{assets()[name].digest}/{name}"


def asset_pages() -> Pages:
    """Makes the routes of the assets; they are open to everyone, since the sign-in page needs them."""
    pages = Pages("assets", guard=Guard.OPEN)

    @pages.get("/dashboard/static/<digest>/<any_text:name>")
    def show(digest: str, name: str) -> Response:
        asset = assets().get(name)
        if asset is None or asset.digest != digest:
            abort(404)
        takes_gzip = request.accept_encodings.quality("gzip") > 0
        response = Response(asset.compressed if takes_gzip else asset.content, content_type=asset.media_type)
        if takes_gzip:
            response.headers["Content-Encoding"] = "gzip"
        response.headers["Vary"] = "Accept-Encoding"
        response.headers["Cache-Control"] = FOREVER
        return response

    return pages


def _read(file: Path) -> Asset:
    content = file.read_bytes()
    media_type = guess_type(file.name)[0] or "application/octet-stream"
    return Asset(content, gzip.compress(content, 9, mtime=0), sha256(content).hexdigest()[:16], media_type)
