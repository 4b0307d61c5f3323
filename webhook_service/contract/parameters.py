"""Headers and path parameters of the contract."""

from typing import Any

from webhook_service.domain.limits import CONSUMER_NAME_MAX, ROW_ID_MAX, SOURCE_MAX

MESSAGE_ID: dict[str, Any] = {
    "name": "message_id",
    "in": "path",
    "required": True,
    "description": "The ID, percent-encoded: `/` as `%2F`.",
    "schema": {"type": "string", "minLength": 1},
    "example": "m1",
}
QUARANTINE_ID: dict[str, Any] = {
    "name": "entry_id",
    "in": "path",
    "required": True,
    "schema": {"type": "integer", "format": "int64", "minimum": 0, "maximum": ROW_ID_MAX},
    "example": 1,
}
CONSUMER_NAME: dict[str, Any] = {
    "name": "name",
    "in": "path",
    "required": True,
    "description": "Lower-case letters, digits, hyphens and underscores; the first is a letter or a digit.",
    "schema": {"type": "string", "minLength": 1, "maxLength": CONSUMER_NAME_MAX},
    "example": "crm",
}
SOURCE_NAME: dict[str, Any] = {
    "name": "source",
    "in": "path",
    "required": True,
    "description": "Lower-case letters, digits, hyphens and underscores; the first is a letter or a digit.",
    "schema": {"type": "string", "minLength": 1, "maxLength": SOURCE_MAX},
    "example": "shop",
}
DESTINATION_NAME: dict[str, Any] = {**CONSUMER_NAME, "example": "shop"}
DEAD_LETTER_ID: dict[str, Any] = {**QUARANTINE_ID, "name": "dead_letter_id"}
REQUEST_ID: dict[str, Any] = {
    "name": "X-Request-ID",
    "in": "header",
    "description": "Names the request in the log. One that is not sane is replaced.",
    "schema": {"type": "string"},
    "example": "import-7",
}


def signature(name: str, description: str, example: str) -> dict[str, Any]:
    """Describes a header that proves a delivery."""
    return {
        "name": name,
        "in": "header",
        "required": True,
        "description": description,
        "schema": {"type": "string"},
        "example": example,
    }


ANSWER_HEADERS: dict[str, dict[str, Any]] = {
    "X-Request-ID": {
        "description": "The caller's, when it is sane, or a new one.",
        "required": True,
        "schema": {"type": "string", "minLength": 1, "maxLength": 128},
    },
    "Retry-After": {
        "description": "Seconds to wait before another try.",
        "schema": {"type": "integer", "minimum": 1},
    },
    "Allow": {
        "description": "The methods that the address takes.",
        "schema": {"type": "string"},
    },
    "Link": {
        "description": 'The next page, as `<…>; rel="next"` (RFC 8288).',
        "schema": {"type": "string"},
    },
    "Content-Disposition": {
        "description": "The name of a file to keep it in.",
        "schema": {"type": "string"},
    },
    "WWW-Authenticate": {
        "description": "The ways to send the token; absent while no token is set.",
        "schema": {"type": "string"},
    },
}
