"""The closed sets of words for the results of deliveries and of their items, and for the reasons."""

from enum import StrEnum


class Reason(StrEnum):
    """The reason why a delivery or an item was refused or not understood, as it is in log, metrics and database."""

    MISSING_SIGNATURE = "missing_signature"
    MALFORMED_SIGNATURE = "malformed_signature"
    WRONG_SIGNATURE = "wrong_signature"
    MISSING_WEBHOOK_ID = "missing_webhook_id"
    MISSING_TIMESTAMP = "missing_timestamp"
    MALFORMED_TIMESTAMP = "malformed_timestamp"
    MISSING_SIGNED_VALUE = "missing_signed_value"
    STALE_TIMESTAMP = "stale_timestamp"
    EXPIRED_SECRET = "expired_secret"  # noqa: S105  # a reason, not a secret
    BODY_TOO_LARGE = "body_too_large"
    NOT_UTF8 = "not_utf8"
    NOT_JSON = "not_json"
    NOT_AN_OBJECT = "not_an_object"
    TOO_MANY_FIELDS = "too_many_fields"
    INVALID_FIELDS = "invalid_fields"
    UNKNOWN_OBJECT = "unknown_object"
    UNKNOWN_EVENT = "unknown_event"
    UNKNOWN_FIELD = "unknown_field"
    ID_CONFLICT = "id_conflict"
    AMPLIFIED = "amplified"
    PROVIDER_ERROR = "provider_error"
    NO_ITEMS = "no_items"
    PARSER_FAILED = "parser_failed"
    VERIFIER_FAILED = "verifier_failed"
    NO_SECRET = "no_secret"  # noqa: S105  # a reason, not a secret
    REFUSED_BY_DATABASE = "refused_by_database"
    QUARANTINE_FULL = "quarantine_full"
    STORAGE_UNAVAILABLE = "storage_unavailable"


class Outcome(StrEnum):
    """The result of storing an item."""

    CREATED = "created"
    DUPLICATE = "duplicate"
    CONFLICT = "conflict"
    """Another message has the ID, so this one is not stored."""


class Result(StrEnum):
    """The result of a delivery as a whole, which is also a label of ``webhook_requests_total``."""

    CREATED = "created"
    DUPLICATE = "duplicate"
    CONFLICT = "conflict"
    EMPTY = "empty"
    """There was nothing to store: a check of the address, or a delivery without items."""
    INVALID_SIGNATURE = "invalid_signature"
    VALIDATION_ERROR = "validation_error"
    UNAVAILABLE = "unavailable"
