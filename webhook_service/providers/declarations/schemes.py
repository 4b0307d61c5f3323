"""Schemes by which deliveries are verified: HMAC, shared tokens, and Basic authentication (RFC 7617)."""

import base64
import binascii
import hmac
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from json import dumps
from typing import Any
from urllib.parse import urlencode

from webhook_service.domain.deliveries import Delivery
from webhook_service.domain.errors import SignatureInvalid
from webhook_service.domain.results import Reason
from webhook_service.domain.secrets import Secrets
from webhook_service.providers.declarations.keys import decode_key
from webhook_service.providers.declarations.places import Envelope, Place
from webhook_service.providers.declarations.rules import Rules
from webhook_service.providers.signatures import from_base64, from_hex, header_bytes, signing_secret

Path = tuple[str | int, ...]
DIGEST_BYTES = {"sha1": 20, "sha256": 32, "sha512": 64}


class CannotSign(Exception):
    """A sample can't be signed with what is configured; the message says why."""

    @classmethod
    def without_key(cls) -> "CannotSign":
        """Makes the error of a scheme that signs with a private key, which only the provider has."""
        return cls("its provider signs with a private key: let signing_key of the source lead to one")


@dataclass
class SampleDraft:
    """A delivery that is being made; ``content`` is its body as a value, ``private_key`` is in PEM."""

    target: str
    content: Any
    moment: datetime
    is_form: bool = False
    headers: dict[str, str] = field(default_factory=dict)
    private_key: str | None = field(default=None, repr=False)

    def put(self, place: Place, value: str) -> None:
        """Puts a value in its place."""
        text = place.text(value)
        if place.query is not None:
            joint = "&" if "?" in self.target else "?"
            self.target += joint + urlencode({place.query: text})
        elif place.header is not None:
            already = self.headers.get(place.header)
            self.headers[place.header] = f"{already}{place.split}{text}" if already and place.split else text
        else:
            self.put_at(place.field, text)

    def put_at(self, path: Path, value: Any) -> None:
        """Puts a value at a path of the content; what is missing on the way there, or is in the way, is made."""
        self.content = _with(self.content, path, value)

    def raw(self) -> bytes:
        """Returns the body as bytes; CannotSign for a form that would not be one."""
        if not self.is_form:
            return dumps(self.content).encode()
        if not isinstance(self.content, Mapping):
            raise CannotSign("its items are a list, which no form can be")
        return urlencode(self.content, doseq=True).encode()

    def envelope(self) -> Envelope:
        """Returns the delivery as it is so far."""
        delivery = Delivery("", self.raw(), self.headers, self.target, self.moment)
        return Envelope(delivery, is_form=self.is_form)


class Scheme(ABC):
    """A way to verify deliveries, with its keys. Making one raises SecretUnusable for a secret that it can't use."""

    def __init__(self, rules: Rules, secrets: Secrets) -> None:
        self.rules = rules
        self.secrets = secrets

    @abstractmethod
    def verify(self, delivery: Delivery) -> str:
        """Returns the label of the secret that a delivery was signed with; SignatureInvalid when there is none."""

    @abstractmethod
    def sign(self, draft: SampleDraft) -> None:
        """Adds to a draft what this scheme asks for.

        Raises CannotSign if that takes a private key and the draft has none, and SignatureInvalid if something that is
        signed can't be added.
        """

    def envelope(self, delivery: Delivery, raw: bytes | None = None, url: str | None = None) -> Envelope:
        """Returns a delivery under verification; a body or URL that is given replaces the delivery's own."""
        return Envelope(delivery, is_form=self.rules.is_form, raw=raw, url=url)


class SignedContent(Scheme):
    """The common part of schemes that sign the content of a template."""

    @abstractmethod
    def authenticate(self, delivery: Delivery) -> tuple[str, int | None]:
        """Returns the label of the secret that signed a delivery, and the claimed time. Raises SignatureInvalid."""

    def verify(self, delivery: Delivery) -> str:
        label, claimed = self.authenticate(delivery)
        # The time is checked last, so that 'stale' means a replay or a wrong clock and nothing else.
        if claimed is not None and self.rules.timestamp is not None:
            self.rules.timestamp.check(claimed, delivery.received_at)
        return label

    def content(self, delivery: Delivery, raw: bytes | None = None, url: str | None = None) -> tuple[bytes, int | None]:
        """Returns the signed bytes, and the claimed time if any; SignatureInvalid when something is missing."""
        envelope = self.envelope(delivery, raw, url)
        timestamp = self.rules.timestamp
        claimed = timestamp.read(envelope) if timestamp else None
        return self.rules.signed.content(envelope), claimed

    def claimed_texts(self, delivery: Delivery) -> list[str]:
        """Returns the signatures as they were sent; SignatureInvalid when there is none in their place."""
        return self.rules.signature.values(self.envelope(delivery), Reason.MISSING_SIGNATURE)

    def prepare(self, draft: SampleDraft) -> bytes:
        """Adds to a draft everything that is signed, and returns the signed bytes; SignatureInvalid if it can't."""
        timestamp, signed = self.rules.timestamp, self.rules.signed
        if timestamp is not None:
            draft.put(timestamp.place, timestamp.write(draft.moment))
        named = (
            *(Place(header=name) for name in signed.argument("header")),
            *(Place(query=name) for name in signed.argument("query")),
            *(Place(field=tuple(path.split("."))) for path in signed.argument("field")),
        )
        for place in named:
            if place.read(draft.envelope()) is None:
                draft.put(place, f"sample-{int(draft.moment.timestamp() * 1_000_000)}")
        envelope = draft.envelope()
        if timestamp is not None:
            timestamp.read(envelope)
        return signed.content(envelope)


class Hmac(SignedContent):
    """HMAC (RFC 2104) with a shared secret."""

    def __init__(self, rules: Rules, secrets: Secrets) -> None:
        super().__init__(rules, secrets)
        self.keys = [
            (label, decode_key(secret, rules.secret_encoding, rules.secret_prefix))
            for label, secret in secrets.labelled()
        ]
        self._decode = decoder(rules.encoding, DIGEST_BYTES[rules.algorithm])

    def authenticate(self, delivery: Delivery) -> tuple[str, int | None]:
        claimed = [decoded for text in self.claimed_texts(delivery) if (decoded := self._decode(text)) is not None]
        content, at = self.content(delivery)
        if not claimed:
            raise SignatureInvalid(Reason.MALFORMED_SIGNATURE)
        algorithm = self.rules.algorithm
        return signing_secret([(label, hmac.digest(key, content, algorithm)) for label, key in self.keys], claimed), at

    def sign(self, draft: SampleDraft) -> None:
        signature = hmac.digest(self.keys[0][1], self.prepare(draft), self.rules.algorithm)
        draft.put(self.rules.signature, encode(signature, self.rules.encoding))


class SharedToken(Scheme):
    """A secret that is sent as it is, with each delivery."""

    def __init__(self, rules: Rules, secrets: Secrets) -> None:
        super().__init__(rules, secrets)
        self._tokens = [(label, decode_key(secret, "utf8")) for label, secret in secrets.labelled()]

    def verify(self, delivery: Delivery) -> str:
        texts = self.rules.signature.values(self.envelope(delivery), Reason.MISSING_SIGNATURE)
        if not texts:
            raise SignatureInvalid(Reason.MALFORMED_SIGNATURE)
        return signing_secret(self._tokens, [header_bytes(text) for text in texts])

    def sign(self, draft: SampleDraft) -> None:
        draft.put(self.rules.signature, self.secrets.current)


class Basic(Scheme):
    """Basic authentication; the secret is ``user:password``."""

    def verify(self, delivery: Delivery) -> str:
        texts = self.rules.signature.values(self.envelope(delivery), Reason.MISSING_SIGNATURE)
        try:
            claimed = [base64.b64decode(text, validate=True) for text in texts]
        except (binascii.Error, ValueError):
            claimed = []
        if not claimed:
            raise SignatureInvalid(Reason.MALFORMED_SIGNATURE)
        return signing_secret(((label, secret.encode()) for label, secret in self.secrets.labelled()), claimed)

    def sign(self, draft: SampleDraft) -> None:
        credentials = base64.b64encode(self.secrets.current.encode()).decode()
        draft.put(self.rules.signature, credentials)


def _with(content: Any, path: Path, value: Any) -> Any:
    """Returns the content with a value at a path."""
    if not path:
        return value
    step, rest = path[0], path[1:]
    if isinstance(step, int):
        items = list(content) if isinstance(content, list) else []
        items += [{} for _ in range(step + 1 - len(items))] if step >= 0 else [{}] * (not items)
        items[step] = _with(items[step], rest, value)
        return items
    fields: dict[str, Any] = dict(content) if isinstance(content, Mapping) else {}
    fields[step] = _with(fields.get(step), rest, value)
    return fields


def encode(signature: bytes, encoding: str) -> str:
    """Writes a signature in an encoding."""
    if encoding == "hex":
        return signature.hex()
    if encoding == "base64url":
        return base64.urlsafe_b64encode(signature).rstrip(b"=").decode()
    return base64.b64encode(signature).decode()


def decoder(encoding: str, length: int) -> Callable[[str], bytes | None]:
    """Returns a function that decodes signatures of ``length`` bytes, and returns None for any other text."""
    if encoding == "hex":
        return lambda text: from_hex(text, length)
    if encoding == "base64":
        return lambda text: from_base64(text, length)
    return lambda text: from_base64url(text, length)


def from_base64url(text: str, length: int) -> bytes | None:
    """Decodes a base64 text in the alphabet for URLs (RFC 4648, section 5), padded or not."""
    bare = text.rstrip("=")
    if len(bare) != -(-length * 8 // 6) or "+" in bare or "/" in bare or len(text) > len(bare) + 2:
        return None
    standard = bare.replace("-", "+").replace("_", "/")
    return from_base64(standard + "=" * (-len(standard) % 4), length)
