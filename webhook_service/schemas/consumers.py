"""Consumers and leases: the bodies and queries of their calls, and their JSON."""

import re
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from marshmallow import EXCLUDE, Schema, ValidationError, fields, validate, validates_schema

from webhook_service.domain.consumers import (
    BEGINNING,
    Consumer,
    ConsumerOptions,
    Edge,
    FeedFilter,
    Lag,
    Lease,
    Start,
)
from webhook_service.domain.limits import (
    ATTEMPTS_MAX,
    CONSUMER_NAME_MAX,
    DEAD_REASON_MAX,
    LEASE_DEFAULT,
    LEASE_MAX,
    LEASE_SECONDS_DEFAULT,
    LEASE_SECONDS_MAX,
    LEASES_MAX,
    MESSAGE_ID_MAX,
    TOKEN_MAX,
)
from webhook_service.schemas.body import BodyInvalid, BodySchema, load_body
from webhook_service.schemas.feed import FEED_CURSORS, WaitField
from webhook_service.schemas.fields import AsciiInteger, TimestampField, no_nul
from webhook_service.schemas.messages import present_message
from webhook_service.schemas.query import load_query

_NAME = re.compile(rf"[a-z0-9][a-z0-9_-]{{0,{CONSUMER_NAME_MAX - 1}}}")
_BAD_NAME = f"Not 1 to {CONSUMER_NAME_MAX} lower-case letters, digits, hyphens and underscores."

_reason: list[Callable[[str], object]] = [validate.Length(max=DEAD_REASON_MAX), no_nul]
_lease_seconds = validate.Range(1, LEASE_SECONDS_MAX)


class FilterSchema(BodySchema):
    """The filter of the messages that a consumer gets; a field that is missing allows any value."""

    sender = fields.String(data_key="from", validate=no_nul, metadata={"example": "+4915112345678"})
    recipient = fields.String(data_key="to", validate=no_nul, metadata={"example": "+4930123456"})
    source = fields.String(validate=no_nul, metadata={"example": "native"})
    provider = fields.String(validate=no_nul, metadata={"example": "native"})
    type = fields.String(validate=no_nul, metadata={"example": "text"})


class StartSchema(BodySchema):
    """A place in the feed, given by exactly one of the three fields."""

    to = fields.Enum(Edge, by_value=True, metadata={"description": "The beginning of the feed, or its end now."})
    since = TimestampField(
        metadata={
            "description": "At the first message that was received at this time or later.",
            "example": "2026-01-15T10:00:00Z",
        }
    )
    message_id = fields.String(
        validate=[validate.Length(1, MESSAGE_ID_MAX), no_nul],
        metadata={"description": "At this message.", "example": "m1"},
    )

    @validates_schema
    def _is_one(self, data: dict[str, Any], **_more: Any) -> None:
        if len(data) != 1:
            raise ValidationError("One of `to`, `since` and `message_id`.", "to")


class ConsumerBodySchema(BodySchema):
    """The body of ``PUT /consumers/<name>``."""

    filter = fields.Nested(FilterSchema, load_default=dict, metadata={"description": "Which messages it gets."})
    start = fields.Nested(
        StartSchema,
        load_default=None,
        metadata={"description": "Where a new consumer begins: at the beginning unless said."},
    )
    max_leases = fields.Integer(
        load_default=1,
        strict=True,
        validate=validate.Range(1, LEASES_MAX),
        metadata={"description": "Leases at once; 1 is strict order."},
    )
    max_attempts = fields.Integer(
        load_default=5,
        strict=True,
        validate=validate.Range(1, ATTEMPTS_MAX),
        metadata={"description": "After so many, a message that is not acknowledged becomes a dead letter."},
    )


class LeaseQuerySchema(Schema):
    """The query string of ``POST /consumers/<name>/lease``."""

    limit = AsciiInteger(
        load_default=LEASE_DEFAULT, validate=validate.Range(1, LEASE_MAX), metadata={"description": "Messages at most."}
    )
    seconds = AsciiInteger(
        load_default=LEASE_SECONDS_DEFAULT,
        validate=_lease_seconds,
        metadata={"description": "After so many seconds the messages are given again, unless acknowledged."},
    )
    wait = WaitField()


class TokenSchema(BodySchema):
    """A body that names a lease."""

    lease = fields.String(
        required=True,
        validate=[validate.Length(1, TOKEN_MAX), no_nul],
        metadata={"description": "`lease` of the answer that gave it.", "example": "pU0Vn2m6yq1dQvYk2yq1dQ"},
    )


class AckSchema(TokenSchema):
    """The body of ``POST /consumers/<name>/ack``."""

    dead = fields.Dict(
        keys=fields.String(validate=no_nul),
        values=fields.String(validate=_reason),
        load_default=dict,
        validate=validate.Length(max=LEASE_MAX),
        metadata={
            "description": "Messages of the lease that can't be taken, each with a reason: they become dead letters.",
            "example": {"m1": "unknown customer"},
        },
    )


class NackSchema(TokenSchema):
    """The body of ``POST /consumers/<name>/nack``."""

    seconds = fields.Integer(
        load_default=0,
        strict=True,
        validate=validate.Range(0, LEASE_SECONDS_MAX),
        metadata={"description": "The messages are given again after so many seconds at the soonest."},
    )
    reason = fields.String(
        load_default=None,
        validate=_reason,
        metadata={"description": "What a dead letter will say.", "example": "the CRM is away"},
    )


class ExtendSchema(TokenSchema):
    """The body of ``POST /consumers/<name>/extend``."""

    seconds = fields.Integer(
        load_default=LEASE_SECONDS_DEFAULT,
        strict=True,
        validate=_lease_seconds,
        metadata={"description": "The lease expires so many seconds from now."},
    )


@dataclass(frozen=True, slots=True)
class LeaseQuery:
    """A request to lease at most ``limit`` messages for ``seconds``.

    It may ``wait`` for so many seconds until there are any.
    """

    limit: int
    seconds: int
    wait: int


_consumer_body, _lease_query, _start = ConsumerBodySchema(), LeaseQuerySchema(unknown=EXCLUDE), StartSchema()
ACK, NACK, EXTEND = AckSchema(), NackSchema(), ExtendSchema()


def check_name(name: str) -> None:
    """Raises BodyInvalid for a name that no consumer may have."""
    if not _NAME.fullmatch(name):
        raise BodyInvalid({"name": [_BAD_NAME]})


def load_consumer(raw: bytes) -> tuple[ConsumerOptions, Start]:
    """Loads the options of a consumer, and its start if it is new; BodyInvalid when something is wrong."""
    loaded = load_body(_consumer_body, raw)
    options = ConsumerOptions(FeedFilter(**loaded["filter"]), loaded["max_leases"], loaded["max_attempts"])
    return options, BEGINNING if loaded["start"] is None else _only_value(loaded["start"])


def load_start(raw: bytes) -> Start:
    """Loads a place in the feed; BodyInvalid when something is wrong."""
    return _only_value(load_body(_start, raw))


def _only_value(loaded: dict[str, Any]) -> Start:
    (start,) = loaded.values()
    assert isinstance(start, Edge | datetime | str)  # noqa: S101  # the schema makes sure
    return start


def load_lease_query(query_string: bytes) -> LeaseQuery:
    """Loads a query string; QueryInvalid when a parameter is bad."""
    return LeaseQuery(**load_query(_lease_query, query_string))


def present_lease(lease: Lease) -> dict[str, Any]:
    """Converts a lease to its JSON object, for ``encode_json``."""
    return {
        "lease": lease.token,
        "expires_at": lease.expires_at,
        "attempt": lease.attempt,
        "data": [present_message(message) for message in lease.messages],
    }


def present_consumer(consumer: Consumer, *, place: int, lag: Lag, leases: int, dead_letters: int) -> dict[str, Any]:
    """Converts a consumer and how it is doing to its JSON object, for ``encode_json``."""
    conditions = consumer.options.filter.conditions()
    keys = {name: field.data_key or name for name, field in FilterSchema().fields.items()}
    return {
        "name": consumer.name,
        "filter": {keys[name]: value for name, value in conditions.items()},
        "max_leases": consumer.options.max_leases,
        "max_attempts": consumer.options.max_attempts,
        "created_at": consumer.created_at,
        "place": FEED_CURSORS.write(place),
        "lag": {"messages": lag.messages, "is_exact": lag.is_exact, "seconds": lag.seconds},
        "leases": leases,
        "dead_letters": dead_letters,
    }
