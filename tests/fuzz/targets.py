"""What is fuzzed: functions of arbitrary bytes that pass unless the service is wrong, each with bytes to begin with."""

import json
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from io import BytesIO
from pathlib import Path
from typing import Any

import orjson
from gunicorn.config import Config  # type: ignore[import-untyped]  # gunicorn has no types
from gunicorn.http import RequestParser  # type: ignore[import-untyped]

from tests.support.provider_deliveries import MESSAGE, RECEIVED_AT
from webhook_service.domain.deliveries import Delivery
from webhook_service.domain.errors import PayloadInvalid, SignatureInvalid
from webhook_service.domain.messages import Position
from webhook_service.domain.secrets import Secrets
from webhook_service.intake.commit import DeliveryRows
from webhook_service.providers.base import Provider
from webhook_service.providers.registry import PROVIDERS
from webhook_service.providers.strict_json import loads
from webhook_service.schemas.cursors import CursorInvalid, Cursors, PositionCursors, RowCursors
from webhook_service.serving.framing import Kind, RequestBuffer

SECRET = "bmV3LXNlY3JldC0x"
OPTIONS = {"PUBLIC_URL": "https://inbox.example.com", "WHATSAPP_VERIFY_TOKEN": "token"}
DATA = Path(__file__).parents[1] / "providers" / "data"


ALL = "all"
"""The name for all targets by turns, which takes one start instead of one for each."""


@dataclass(frozen=True, slots=True)
class Target:
    """Something to fuzz: ``run`` raises for an input that shows a fault."""

    run: Callable[[bytes], None]
    seeds: tuple[bytes, ...]


class AnyHeaders(dict[str, str]):
    """Headers by their names in lower case, which may be any text."""

    def get(self, name: str, default: Any = None) -> Any:
        """Returns the header with this name in whatever case."""
        return super().get(name.lower(), default)


def receive(provider: Provider, sent: bytes) -> None:
    """Verifies and parses a delivery of lines of headers, an empty line, and a body."""
    lines, _, raw = sent.partition(b"\n\n")
    headers = AnyHeaders()
    for line in lines.decode("latin-1").split("\n"):
        name, _, value = line.partition(":")
        headers.setdefault(name.lower(), value)
    delivery = Delivery(provider.name, raw, headers, provider.default_path(), RECEIVED_AT)
    try:
        provider.verify(delivery)
    except SignatureInvalid:
        provider.diagnose(delivery)
    with suppress(PayloadInvalid):
        DeliveryRows.encode(provider.parse(delivery))


def delivery_seeds(provider: Provider) -> tuple[bytes, ...]:
    """A signed sample, and what there is of the provider's own documentation."""
    sample = provider.sample(MESSAGE)
    headers = "\n".join(f"{name}:{value}" for name, value in sample.headers.items()).encode()
    documented = [file.read_bytes() for file in sorted(DATA.glob(f"{provider.name}/*.json"))]
    return tuple(headers + b"\n\n" + body for body in (sample.body, *documented))


def read_json(raw: bytes) -> None:
    """Holds what the strict reader takes against another reader: they have to read the same."""
    try:
        value = loads(raw)
    except PayloadInvalid:
        return
    assert orjson.loads(raw) == value
    assert json.loads(raw) == value


def read_cursor(cursors: Cursors[Any], text: bytes) -> None:
    """Holds a cursor that is taken to be the only way to write its place."""
    cursor = text.decode("latin-1")
    with suppress(CursorInvalid):
        assert cursors.write(cursors.read(cursor)) == cursor


def frame(sent: bytes) -> None:
    """Holds the framing of a request against itself, in two pieces, and against gunicorn's parser."""
    cut = sent[0] * len(sent) // 256 if sent else 0
    whole, pieces = RequestBuffer(), RequestBuffer()
    whole.add(sent)
    for piece in (sent[:cut], sent[cut:]):
        pieces.add(piece)
        pieces.kind()
    kind = whole.kind()
    assert pieces.kind() is kind
    if kind is Kind.LONG:
        return
    read = _bytes_that_gunicorn_reads(sent)
    if kind is Kind.INCOMPLETE:
        assert read is None
    elif read is not None:
        assert read == (whole.length() or sent.index(b"\r\n\r\n") + 4)


def _bytes_that_gunicorn_reads(sent: bytes) -> int | None:
    """The length of the first request, None if gunicorn refuses it or waits for more."""
    stream = BytesIO(sent)
    parser = RequestParser(_CONFIG, iter(partial(stream.read, 2**20), b""), ("127.0.0.1", 1))
    try:
        request = next(parser)
        body = request.body.read()
    except Exception:
        return None
    length = dict(request.headers).get("CONTENT-LENGTH")
    if length is not None and len(body) < int(length):
        return None
    return len(sent) - len(parser.unreader.take_buffered())


def _provider(kind: type[Provider]) -> Provider:
    return kind(Secrets(SECRET), {name: OPTIONS[name] for name in kind.option_settings})


_ROWS, _POSITIONS = RowCursors("feed"), PositionCursors("messages", "desc", None)
_CONFIG = Config()
_HEAD = b"POST /webhook HTTP/1.1\r\nHost: a\r\n"

TARGETS: Mapping[str, Target] = {
    **{kind.name: Target(partial(receive, _provider(kind)), delivery_seeds(_provider(kind))) for kind in PROVIDERS},
    "json": Target(
        read_json, (b'{"a": [1, -2.5e3, "\\u00e4", true, null]}', b'["\\ud83e\\udd86", 9223372036854775807, {"": {}}]')
    ),
    "row-cursors": Target(partial(read_cursor, _ROWS), (_ROWS.write(0).encode(), _ROWS.write(2**40).encode())),
    "position-cursors": Target(
        partial(read_cursor, _POSITIONS), (_POSITIONS.write(Position(MESSAGE.ts, "m-1")).encode(),)
    ),
    "framing": Target(
        frame,
        (
            _HEAD + b"Content-Length: 2\r\n\r\n{}",
            _HEAD + b"Transfer-Encoding: chunked\r\n\r\n2\r\n{}\r\n0\r\n\r\n",
            b"GET /export?a=b HTTP/1.1\r\nHost: a\r\n\r\nGET / HTTP/1.1\r\n\r\n",
        ),
    ),
}


def by_turns() -> Target:
    """All targets as one, of which the first byte of the input chooses one."""
    targets = tuple(TARGETS.values())

    def run(sent: bytes) -> None:
        if sent:
            targets[sent[0] % len(targets)].run(sent[1:])

    return Target(run, tuple(bytes([number]) + seed for number, each in enumerate(targets) for seed in each.seeds))
