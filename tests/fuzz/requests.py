"""Requests as bytes: calls of the contract and deliveries, with something wrong in most of them."""

import json
from collections.abc import Mapping
from random import Random
from typing import Any
from urllib.parse import quote_from_bytes

from tests.fuzz.targets import DATA
from tests.support.deliveries import SECRET, payload
from webhook_service.providers import native, whatsapp
from webhook_service.schemas.cursors import RowCursors

IDS = 200  # of messages, so that most are repeated, or another message has theirs

NASTY = (
    *(b"", b"\x00", b"\xff\xfe", b"\xed\xa0\x80", b"%", b"%00", b"%ff", b"../..", b"a" * 300, "é\u202e🦆".encode()),
    *(b"0", b"-1", b"1e9", b"99999999999999999999", b"00", b"+1", b"1_000", "٣".encode(), b"NaN", b"null", b"true"),
    *(
        b"'",
        b'"',
        b"';--",
        b"{}",
        b"[",
        b"\\",
        b"\r",
        b"\n",
        b" ",
        b"*",
        b"_",
        b"+4915112345678",
        b"2025-01-15T10:00:00Z",
    ),
    *(b"0000-00-00T00:00:00Z", b"9999-12-31T23:59:60Z", b"https://a", RowCursors("feed").write(7).encode()),
)
# What a head may have that it should not, or twice.
ODD_HEADERS = (
    *(b"Content-Length: 0", b"Content-Length: -1", b"Transfer-Encoding: chunked", b"Transfer-Encoding: gzip, chunked"),
    *(b"Expect: 100-continue", b"Connection: close", b"Connection: upgrade", b"Upgrade: h2c", b"Host: b", b" folded"),
    *(b"No-Colon", b"A" * 9000 + b": 1", b"X-Forwarded-For: 1", b"Range: bytes=0-", b"Accept: \xff", b"Cookie: a=b"),
    *(b"Authorization: Basic \xff", b"Authorization: Bearer", b"If-None-Match: *", b"Content-Encoding: gzip"),
)
METHODS = (b"GET", b"POST", b"PUT", b"DELETE", b"HEAD", b"OPTIONS", b"PATCH", b"TRACE", b"get", b"G", b"PRI")
UNLIMITED = {"/export", "/quarantine/replay"}  # which would go through all that is stored again and again


class Requests:
    """An endless supply of requests to a service with this contract; ``token`` opens what is protected."""

    def __init__(self, contract: Mapping[str, Any], token: str, seed: int) -> None:
        self._random = Random(seed)
        self._token = token.encode()
        self._operations = [
            (path, method, [each["name"] for each in operation.get("parameters", ()) if each.get("in") == "query"])
            for path, operations in contract["paths"].items()
            for method, operation in operations.items()
            if path not in UNLIMITED and method in {"get", "post", "put", "delete"}
        ]
        self._documents = [file.read_bytes() for file in sorted(DATA.glob("whatsapp/*.json"))]

    def well_framed(self) -> bytes:
        """A request that a server can tell from the next one, whatever it asks for."""
        return self._delivery() if self._random.random() < 0.5 else self._call()

    def any(self) -> bytes:
        """A request of which anything may be broken."""
        sent = bytearray(self.well_framed())
        match self._random.randrange(5):
            case 0:
                for _ in range(self._random.randint(1, 8)):
                    sent[self._random.randrange(len(sent))] = self._random.randrange(256)
            case 1:
                del sent[self._random.randrange(len(sent)) :]
            case 2:
                place = self._random.randrange(len(sent))
                sent[place:place] = self._random.choice(NASTY)
            case 3:
                end_of_line = sent.index(b"\r\n") + 2
                sent[end_of_line:end_of_line] = self._random.choice(ODD_HEADERS) + b"\r\n"
            case 4:
                sent = bytearray(self._random.randbytes(self._random.randint(1, 200)) + b"\r\n\r\n")
        return bytes(sent)

    def _call(self) -> bytes:
        path, method, names = self._random.choice(self._operations)
        while "{" in path:
            before, _, rest = path.partition("{")
            path = before + self._word() + rest.partition("}")[2]
        if names and self._random.random() < 0.7:
            chosen = self._random.sample(names, self._random.randint(1, min(3, len(names))))
            path += "?" + "&".join(f"{name}={self._word()}" for name in chosen)
        verb = self._random.choice(METHODS) if self._random.random() < 0.1 else method.upper().encode()
        body = b"" if method in {"get", "delete"} else self._body()
        return self._framed(verb, path.encode("latin-1"), {b"Authorization": b"Bearer " + self._token}, body)

    def _delivery(self) -> bytes:
        if self._random.random() < 0.5:
            raw, path = self._random.choice(self._documents), b"/webhook/whatsapp"
        else:
            raw, path = json.dumps(payload(message_id=f"m-{self._random.randrange(IDS)}")).encode(), b"/webhook"
        if self._random.random() < 0.6:
            place = self._random.randrange(len(raw))
            raw = raw[:place] + self._random.choice(NASTY) + raw[place + self._random.randrange(3) :]
        secret = SECRET if self._random.random() < 0.8 else "another"
        signatures = {
            native.SIGNATURE_HEADER: native.sign(secret, raw),
            whatsapp.SIGNATURE_HEADER: f"sha256={whatsapp.sign(secret, raw).hex()}",
        }
        return self._framed(b"POST", path, {name.encode(): text.encode() for name, text in signatures.items()}, raw)

    def _body(self) -> bytes:
        return json.dumps({self._word(): self._word()}).encode() if self._random.random() < 0.5 else self._choice()

    def _framed(self, method: bytes, target: bytes, headers: Mapping[bytes, bytes], body: bytes) -> bytes:
        lines = [method + b" " + target + b" HTTP/1.1", b"Host: localhost"]
        lines += [name + b": " + value for name, value in headers.items()]
        if body:
            lines += [b"Content-Type: application/json", b"Content-Length: %d" % len(body)]
        return b"\r\n".join(lines) + b"\r\n\r\n" + body

    def _choice(self) -> bytes:
        return self._random.choice(NASTY)

    def _word(self) -> str:
        return quote_from_bytes(self._choice(), safe="")
