"""Descriptions of the bodies of an operation: what is sent, what is answered, and the errors that it shares."""

from typing import Any

from marshmallow import Schema

from webhook_service.contract.answer_schemas import ErrorSchema, InvalidSchema

Answers = dict[str, Any]


def json(schema: type[Schema], description: str, *headers: str) -> dict[str, Any]:
    """Describes an answer in JSON, with ``headers`` in addition to ``X-Request-ID``."""
    return {
        "description": description,
        "headers": {name: name for name in ("X-Request-ID", *headers)},
        "content": {"application/json": {"schema": schema}},
    }


def json_body(schema: type[Schema], example: dict[str, Any], *, is_required: bool = True) -> dict[str, Any]:
    """Describes a body of a request in JSON."""
    return {"required": is_required, "content": {"application/json": {"schema": schema, "example": example}}}


def text(content_type: str, description: str, example: str | None = None) -> dict[str, Any]:
    """Describes an answer that is text of another media type."""
    content: dict[str, Any] = {"schema": {"type": "string"}}
    if example is not None:
        content["example"] = example
    return {
        "description": description,
        "headers": {"X-Request-ID": "X-Request-ID"},
        "content": {content_type: content},
    }


SHARED: dict[str, dict[str, Any]] = {
    "BadRequest": json(ErrorSchema, "The request is not sound HTTP."),
    "Unauthorized": json(
        ErrorSchema,
        "The token is missing or wrong; with no token set, the call is not from this machine.",
        "WWW-Authenticate",
    ),
    "InvalidSignature": json(
        ErrorSchema, "The signature is missing or wrong. The log says why, the caller is not told."
    ),
    "Forbidden": json(ErrorSchema, "Not from there, or not with `API_TOKEN` where there is an `ADMIN_TOKEN`."),
    "TooSlow": json(ErrorSchema, "The request began and was not whole within a minute."),
    "HeadersTooLarge": json(ErrorSchema, "There are over 100 headers, or one of over 8,190 bytes."),
    "NotFound": json(ErrorSchema, "There is no such thing."),
    "NotConfigured": json(ErrorSchema, "No source of this name is configured."),
    "MethodNotAllowed": json(ErrorSchema, "The source's provider checks no address.", "Allow"),
    "TooLarge": json(ErrorSchema, "The body is over `MAX_BODY_BYTES`."),
    "UriTooLong": json(ErrorSchema, "The first line of the request, with path and query, is over 4,094 bytes."),
    "InvalidPayload": json(
        InvalidSchema, "The signature is right and the payload is not: it is in quarantine, and `errors` says why."
    ),
    "InvalidQuery": json(InvalidSchema, "A parameter is bad or unknown; `errors` names it."),
    "InvalidBody": json(InvalidSchema, "The body is not as described; `errors` names the fields."),
    "LeaseEnded": json(
        ErrorSchema, "The lease has no messages any more: they were acknowledged, refused, or given again."
    ),
    "Declared": json(ErrorSchema, "The file of configuration declares it, so it can't be forgotten."),
    "TooMany": json(ErrorSchema, "There are as many as there may be."),
    "InternalError": json(ErrorSchema, "An error of the service's own; the log has it."),
    "Unavailable": json(ErrorSchema, "It can't be done now: try again.", "Retry-After"),
}

EVERY: Answers = {
    "400": "BadRequest",
    "408": "TooSlow",
    "414": "UriTooLong",
    "431": "HeadersTooLarge",
    "500": "InternalError",
}
READ: Answers = {**EVERY, "401": "Unauthorized", "422": "InvalidQuery", "503": "Unavailable"}
CHANGE: Answers = {**EVERY, "401": "Unauthorized", "403": "Forbidden", "413": "TooLarge", "503": "Unavailable"}
DELIVERY: Answers = {**EVERY, "401": "InvalidSignature", "413": "TooLarge", "503": "Unavailable"}
