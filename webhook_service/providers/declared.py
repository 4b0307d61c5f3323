"""Providers that are declared in a file: a source's tables are turned into a provider, without a line of code."""

from collections.abc import Mapping
from copy import deepcopy
from dataclasses import dataclass
from functools import cached_property, partial
from typing import Any

from webhook_service.domain.acknowledgement import Acknowledgement
from webhook_service.domain.deliveries import Contents, Delivery
from webhook_service.domain.errors import SignatureInvalid
from webhook_service.domain.messages import Message
from webhook_service.domain.secrets import Secrets
from webhook_service.domain.sources import path_of
from webhook_service.providers.base import Provider, Sample
from webhook_service.providers.declarations.answers import (
    DEFAULT_ANSWER,
    AnswerTemplate,
    ChallengeSigner,
    Handshake,
    read_answer,
    read_handshakes,
)
from webhook_service.providers.declarations.diagnosis import diagnose
from webhook_service.providers.declarations.keys import SecretUnusable
from webhook_service.providers.declarations.payload import Payload, Reader, read_payload
from webhook_service.providers.declarations.public_keys import PublicKeys
from webhook_service.providers.declarations.rules import Rules, read_rules
from webhook_service.providers.declarations.samples import draft_of
from webhook_service.providers.declarations.schemes import Basic, CannotSign, Hmac, Scheme, SharedToken
from webhook_service.providers.declarations.tables import DeclarationInvalid, DeclarationTable
from webhook_service.providers.declarations.web_tokens import JsonWebToken
from webhook_service.providers.presets import EXAMPLE_HEADERS, EXAMPLES, PRESETS
from webhook_service.providers.urls import is_base_url

__all__ = [
    "CUSTOM",
    "KEYS",
    "CannotSign",
    "Declaration",
    "DeclarationInvalid",
    "Declared",
    "Rules",
    "SecretUnusable",
    "load_declaration",
    "load_rules",
    "scheme_of",
]

CUSTOM = "custom"
KEYS = frozenset({"provider", "public_url", "verify", "payload", "handshake", "answer", "accepts_unreadable"})
"""The keys of a source's table that are read here."""

_SCHEMES: Mapping[str, type[Scheme]] = {
    "hmac": Hmac,
    "public_key": PublicKeys,
    "jwt": JsonWebToken,
    "token": SharedToken,
    "basic": Basic,
}


@dataclass(frozen=True, slots=True)
class Declaration:
    """A provider as its tables declare it; ``name`` is that of the preset, or ``custom``."""

    name: str
    rules: Rules
    payload: Payload
    handshakes: tuple[Handshake, ...] = ()
    answer: AnswerTemplate = DEFAULT_ANSWER
    accepts_unreadable: bool = True

    def scheme(self, secrets: Secrets) -> Scheme:
        """Returns the scheme that verifies deliveries with these secrets; SecretUnusable for an unusable secret."""
        return scheme_of(self.rules, secrets)


def scheme_of(rules: Rules, secrets: Secrets) -> Scheme:
    """Returns the scheme that verifies deliveries by these rules; SecretUnusable for an unusable secret."""
    return _SCHEMES[rules.scheme](rules, secrets)


def load_declaration(table: Mapping[str, Any]) -> Declaration:
    """Reads the tables of a source: its own, laid over those of its preset, if ``provider`` names one.

    Secrets within the tables, such as a handshake's token, have to be there as texts already. Raises
    DeclarationInvalid with every problem at once.
    """
    read = _over_its_preset(table)
    rules, payload_table = _read_rules(read), read.take_table("payload", required=True)
    payload = read_payload(payload_table) if payload_table else None
    handshakes = read_handshakes(read, rules)
    answer = read_answer(read.take_table("answer"))
    accepts_unreadable = read.take_flag("accepts_unreadable")
    if rules and payload:
        _check_headers(payload_table, rules, payload)
    read.finish()
    if read.problems or rules is None or payload is None:
        raise DeclarationInvalid(read.problems)
    name = table.get("provider", CUSTOM)
    return Declaration(name, rules, payload, handshakes, answer, accepts_unreadable is not False)


def load_rules(table: Mapping[str, Any]) -> Rules | None:
    """Reads of the tables of a source only how deliveries are verified; None when that has a problem."""
    read = _over_its_preset(table)
    rules = _read_rules(read)
    return None if read.problems else rules


def _over_its_preset(table: Mapping[str, Any]) -> DeclarationTable:
    name = table.get("provider", CUSTOM)
    preset = PRESETS.get(name) if isinstance(name, str) else None
    read = DeclarationTable(merged(preset, table) if preset else table)
    read.take_choice("provider", (CUSTOM, *PRESETS))
    return read


def _read_rules(table: DeclarationTable) -> Rules | None:
    public_url, verify, payload = (
        _public_url(table),
        table.take_table("verify", required=True),
        table.values.get("payload"),
    )
    is_form = isinstance(payload, Mapping) and payload.get("format") == "form"
    return read_rules(verify, public_url, is_form=is_form) if verify else None


def merged(preset: Mapping[str, Any], own: Mapping[str, Any]) -> dict[str, Any]:
    """Lays the keys of a source over those of its preset, table by table."""
    result = deepcopy(dict(preset))
    for key, value in own.items():
        below = result.get(key)
        if isinstance(value, Mapping) and isinstance(below, Mapping):
            result[key] = merged(below, value)
        else:
            result[key] = value
    return result


def _public_url(table: DeclarationTable) -> str | None:
    url = table.take_text("public_url")
    if url is None:
        return None
    if not is_base_url(url):
        table.report("public_url", "not the base of this service's URLs, such as https://inbox.example.com")
        return None
    return url


def _check_headers(table: DeclarationTable | None, rules: Rules, payload: Payload) -> None:
    """Reports a mapping that reads the header with the signature, since headers that are read are also kept."""
    secret = (rules.signature.header or "").lower()
    if table is not None and any(name.lower() == secret for name in payload.headers()):
        table.report("", "reads the header of the signature, which is never kept")


def _sent_secret(rules: Rules) -> str | None:
    """Returns the field in which the provider sends the secret itself, if it does: no message may keep that."""
    return rules.signature.field[0] if rules.scheme == "token" and rules.signature.field else None


class Declared(Provider):
    """A provider made from its declaration.

    ``signing_key`` is a private key, in PEM, to sign samples with where the provider signs with one. Making an instance
    raises SecretUnusable for a secret that the scheme can't use.
    """

    def __init__(self, declaration: Declaration, secrets: Secrets, *, signing_key: str | None = None) -> None:
        super().__init__(secrets, {})
        self.name = declaration.name
        self.declaration = declaration
        self.acknowledgement = declaration.answer.filled("", "")
        self.verifies_slowly = declaration.rules.key_pair is not None
        self.accepts_unreadable = declaration.accepts_unreadable
        self.kept_headers = (*Provider.kept_headers, *declaration.payload.headers())
        self._scheme = declaration.scheme(secrets)
        self._reader = Reader(declaration.payload, declaration.name, hidden=_sent_secret(declaration.rules))
        self._checks = [each for each in declaration.handshakes if each.when is not None]
        self._signing_key = signing_key

    def verify(self, delivery: Delivery) -> str:
        return self._scheme.verify(delivery)

    def kept_target(self, target: str) -> str:
        return target.partition("?")[0] if self.declaration.rules.signature.query else target

    def parse(self, delivery: Delivery) -> Contents:
        scope = self._reader.scope(delivery)
        for check in self._checks:
            answer = check.answer_delivery(scope, self._signer)
            if answer is not None:
                return Contents(answer=answer)
        return self._reader.read(delivery, scope, partial(self.source_of, delivery=delivery))

    def has_handshake(self) -> bool:
        return any(each.query is not None for each in self.declaration.handshakes)

    def handshake(self, parameters: Mapping[str, str]) -> Acknowledgement | None:
        checks = (each for each in self.declaration.handshakes if each.query is not None)
        answers = (each.answer_query(parameters, self._signer) for each in checks)
        return next((answer for answer in answers if answer is not None), None)

    def diagnose(self, delivery: Delivery) -> str | None:
        return diagnose(self._scheme, delivery)

    def sample(self, message: Message, path: str | None = None) -> Sample:
        """Makes a delivery of this message; CannotSign, which says why, if that is not possible."""
        example, headers = EXAMPLES.get(self.name), EXAMPLE_HEADERS.get(self.name, {})
        draft = draft_of(message, self.declaration.payload, path or path_of(self.name), example, headers)
        draft.private_key = self._signing_key
        try:
            self._scheme.sign(draft)
        except SignatureInvalid as invalid:
            raise CannotSign(f"a sample lacks something that its provider signs ({invalid.reason})") from invalid
        except SecretUnusable as unusable:
            raise CannotSign(f"its signing_key is {unusable}") from unusable
        return Sample(draft.target, draft.raw(), draft.headers)

    @cached_property
    def _signer(self) -> ChallengeSigner:
        rules = self.declaration.rules
        key = self._scheme.keys[0][1] if isinstance(self._scheme, Hmac) else b""
        return ChallengeSigner(key, rules.algorithm, rules.encoding)
