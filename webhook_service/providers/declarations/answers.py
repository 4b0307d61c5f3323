"""The responses that a provider expects: the ``answer`` to a delivery, and that to a check of the address."""

import hmac
import re
from collections.abc import Mapping
from dataclasses import dataclass
from json import dumps
from typing import Any

from webhook_service.domain.acknowledgement import Acknowledgement
from webhook_service.providers.declarations.expressions import Expression, ExpressionFailed, read_expression
from webhook_service.providers.declarations.rules import Rules
from webhook_service.providers.declarations.schemes import encode
from webhook_service.providers.declarations.tables import DeclarationTable

CHALLENGE = "{challenge}"
HMAC = "{hmac:challenge}"

_CHALLENGE_MAX = 4096  # characters of a challenge that is sent back as it is
# Challenges that are signed for anybody. The signed content of a delivery has to hold a character that no challenge
# has, so that nobody can have a delivery signed by passing it off as a challenge: see ``_could_be_a_challenge``.
_SIGNED_CHALLENGE = re.compile(r"[A-Za-z0-9_-]{1,256}={0,2}")
_IN_NO_CHALLENGE = re.compile(r"[^A-Za-z0-9_=-]")
_STATUSES = (200, 299)
_TEXT = "text/plain; charset=utf-8"
_JSON = "application/json"


@dataclass(frozen=True, slots=True)
class AnswerTemplate:
    """A response: ``text``, or ``json``, or nothing. In the answer to a handshake, placeholders are filled in."""

    status: int = 200
    content_type: str = _JSON
    text: str | None = None
    json: Any = None

    @property
    def needs_hmac(self) -> bool:
        """Tells whether a key is needed to make the response."""
        return HMAC in (self.text or "") or any(HMAC in text for text in _texts(self.json))

    def filled(self, challenge: str, signature: str) -> Acknowledgement:
        """Returns the response to a challenge."""
        if self.json is not None:
            body = dumps(_filled(self.json, challenge, signature), separators=(",", ":")).encode()
        else:
            # The challenge is put in last, so that one that looks like a placeholder stays what it is.
            parts = (self.text or "").split(CHALLENGE)
            body = challenge.join(part.replace(HMAC, signature) for part in parts).encode("utf-8", "replace")
        return Acknowledgement(self.content_type, body, self.status)


DEFAULT_ANSWER = AnswerTemplate(json={"status": "ok"})


@dataclass(frozen=True, slots=True)
class Handshake:
    """A provider's check of the address.

    A check by GET carries the challenge in the parameter ``query``, beside our ``token`` and the parameters in
    ``expect``. A check by POST is a signed delivery for which ``when`` is true, with the ``challenge`` in its body.
    """

    answer: AnswerTemplate
    query: str | None = None
    token_query: str | None = None
    token: str | None = None
    expect: tuple[tuple[str, str], ...] = ()
    when: Expression | None = None
    challenge: Expression | None = None

    def answer_query(self, parameters: Mapping[str, str], signer: "ChallengeSigner") -> Acknowledgement | None:
        """Answers a GET; None when it is not this check, or has another token."""
        challenge = parameters.get(self.query or "")
        if challenge is None:
            return None
        if self.token_query is not None:
            token = parameters.get(self.token_query, "").encode("utf-8", "replace")
            if not hmac.compare_digest(token, (self.token or "").encode()) or not self.token:
                return None
        if any(parameters.get(name) != value for name, value in self.expect):
            return None
        return self._answer(challenge, signer)

    def answer_delivery(self, scope: Mapping[str, Any], signer: "ChallengeSigner") -> Acknowledgement | None:
        """Answers a delivery that is this check; None for any other delivery."""
        if self.when is None:
            return None
        try:
            if self.when.search(scope) is not True:
                return None
            challenge = self.challenge.search(scope) if self.challenge else ""
        except ExpressionFailed:
            return None
        return self._answer(challenge, signer) if isinstance(challenge, str) else None

    def _answer(self, challenge: str, signer: "ChallengeSigner") -> Acknowledgement | None:
        if not self.answer.needs_hmac:
            return self.answer.filled(challenge, "") if len(challenge) <= _CHALLENGE_MAX else None
        if not _SIGNED_CHALLENGE.fullmatch(challenge):
            return None
        return self.answer.filled(challenge, signer.sign(challenge))


@dataclass(frozen=True, slots=True)
class ChallengeSigner:
    """Makes the HMAC of a challenge with the current key."""

    key: bytes
    algorithm: str
    encoding: str

    def sign(self, challenge: str) -> str:
        """Returns the signature of a challenge, encoded."""
        return encode(hmac.digest(self.key, challenge.encode(), self.algorithm), self.encoding)


def read_answer(table: DeclarationTable | None, *, of_handshake: bool = False) -> AnswerTemplate:
    """Reads the table of a response."""
    if table is None:
        return AnswerTemplate(content_type=_TEXT, text=CHALLENGE) if of_handshake else DEFAULT_ANSWER
    status = table.take_integer("status", *_STATUSES) or 200
    text, json, content_type = (
        table.values.get("text"),
        table.take_any("json"),
        table.take_text("content_type", longest=100),
    )
    table.take_any("text")
    if text is not None and (not isinstance(text, str) or json is not None):
        table.report("text", "not a text, or beside json, which excludes it")
        text = None
    if content_type is not None and not (content_type.isascii() and content_type.isprintable()):
        table.report("content_type", "not a media type")
    try:
        dumps(json)
    except (TypeError, ValueError, RecursionError):
        table.report("json", "not what JSON can say")
        json = None
    table.finish()
    return AnswerTemplate(status, content_type or (_TEXT if json is None else _JSON), text, json)


def read_handshakes(table: DeclarationTable, rules: Rules | None) -> tuple[Handshake, ...]:
    """Reads ``handshake``, a table or a list of tables; not all ``rules`` allow an HMAC in an answer."""
    return tuple(_read_handshake(each, rules) for each in table.take_tables("handshake"))


def _read_handshake(table: DeclarationTable, rules: Rules | None) -> Handshake:
    query, when = table.take_text("query", longest=100), read_expression(table, "when", roots=("body", "headers"))
    challenge = read_expression(table, "challenge", roots=("body", "headers"))
    token_query, token = table.take_text("token_query", longest=100), table.take_text("token")
    expect = table.take_any("expect") or {}
    answer = read_answer(table.take_table("answer"), of_handshake=True)
    if table.has("query") == table.has("when"):
        table.report("", "one of query (a GET) and when (a POST) is needed")
    if table.has("query") and (table.has("challenge") or table.has("when")):
        table.report("query", "is of a GET; challenge and when are of a POST")
    if (token_query is None) != (token is None) or (table.has("when") and table.has("token")):
        missing = "token" if token is None else "token_query"
        table.report(missing, "missing: token and token_query need each other, and query")
    if not isinstance(expect, Mapping) or not all(isinstance(value, str) for value in expect.values()):
        table.report("expect", "not a table of texts")
        expect = {}
    if answer.needs_hmac and rules is not None:
        _check_hmac(table, rules)
    table.finish()
    return Handshake(answer, query, token_query, token, tuple(expect.items()), when, challenge)


def _check_hmac(table: DeclarationTable, rules: Rules) -> None:
    if rules.scheme != "hmac":
        table.report("answer", f'{HMAC} needs verify.scheme = "hmac"')
    elif rules.signed.parts and _could_be_a_challenge(rules):
        table.report(
            "answer",
            f"{HMAC} would sign deliveries for anyone: verify.signed needs {{body}} as JSON, {{url}}, or a character"
            " that is none of A-Z, a-z, 0-9, -, _ and =",
        )


def _could_be_a_challenge(rules: Rules) -> bool:
    """Tells whether what is signed of a delivery may be a text that is signed as a challenge as well."""
    names = rules.signed.names
    holds_json = "body" in names and not rules.is_form  # of which each object has braces
    return not (holds_json or "url" in names or _IN_NO_CHALLENGE.search(rules.signed.fixed))


def _texts(value: Any) -> list[str]:
    if isinstance(value, str):
        return [value]
    inner = value.values() if isinstance(value, Mapping) else value if isinstance(value, list) else ()
    return [text for each in inner for text in _texts(each)]


def _filled(value: Any, challenge: str, signature: str) -> Any:
    if isinstance(value, Mapping):
        return {name: _filled(inner, challenge, signature) for name, inner in value.items()}
    if isinstance(value, list):
        return [_filled(inner, challenge, signature) for inner in value]
    if value == CHALLENGE:
        return challenge
    return value.replace(HMAC, signature) if isinstance(value, str) else value
