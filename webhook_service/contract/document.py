"""The OpenAPI document: https://spec.openapis.org/oas/v3.1.1.html."""

from importlib.metadata import version
from typing import Any

from apispec import APISpec
from apispec.ext.marshmallow import MarshmallowPlugin
from apispec.ext.marshmallow.openapi import OpenAPIConverter
from marshmallow import INCLUDE, Schema, fields, validate

from webhook_service.contract.descriptions import SHARED
from webhook_service.contract.operation import Operation
from webhook_service.contract.operations import COMMON_PARAMETERS, OPERATIONS
from webhook_service.contract.parameters import ANSWER_HEADERS
from webhook_service.contract.payloads import TWILIO_PAYLOAD, WHATSAPP_PAYLOAD
from webhook_service.contract.signing import SIGNED
from webhook_service.schemas.fields import AsciiInteger, TimestampField, no_nul
from webhook_service.schemas.native import NativePayloadSchema
from webhook_service.schemas.query import EMPTY_IS_ABSENT

TITLE = "webhook_service"
OPENAPI_VERSION = "3.1.0"

_DESCRIPTION = """\
A self-hosted inbox for webhooks: each message is verified, stored exactly once, and read back from here.

Every error is JSON with a `detail`, those of the server itself (400, 408, 414, 431) included, and every answer carries
`X-Request-ID`. With `API_TOKEN` set, reads take it as a Bearer token or as the password of Basic; with none set, they
are for the machine that the service runs on. Deliveries prove themselves by their signatures.
"""
_SECURITY = {
    "Bearer": {"type": "http", "scheme": "bearer", "description": "`API_TOKEN`"},
    "Basic": {"type": "http", "scheme": "basic", "description": "Any user; `API_TOKEN` is the password."},
}
_SENT = "What providers send"
_TAGS = (
    "Deliveries",
    "Messages",
    "Sources",
    "Consumers",
    "Destinations",
    "Totals",
    "Quarantine",
    "Health and metrics",
    "Contract",
    _SENT,
)


def make_document(base_path: str) -> dict[str, Any]:
    """Makes the document of a service below a path, which is empty or a prefix without a slash at its end."""
    plugin = MarshmallowPlugin()
    spec = APISpec(
        title=TITLE,
        version=version(TITLE),
        openapi_version=OPENAPI_VERSION,
        plugins=[plugin],
        info={"description": _DESCRIPTION},
        servers=[{"url": base_path or "/"}],
        tags=[{"name": name} for name in _TAGS],
        webhooks=_webhooks(),
    )
    assert plugin.converter is not None  # noqa: S101  # the specification above has initialised the plugin
    _teach(plugin.converter)
    _add_components(spec)
    for operation in OPERATIONS:
        query = [] if operation.query is None else _query_parameters(plugin.converter, operation.query)
        spec.path(path=operation.path, operations={operation.method: _described(operation, query)})
    return spec.to_dict()


def _teach(converter: OpenAPIConverter) -> None:
    """Maps the service's own fields and rules to JSON Schema."""
    converter.field_mapping[AsciiInteger] = ("integer", None)
    converter.field_mapping[TimestampField] = ("string", "date-time")
    converter.field_mapping[fields.Enum] = ("string", None)
    converter.add_attribute_function(_pattern_of_rules)  # type: ignore[no-untyped-call]  # apispec leaves it so


def _pattern_of_rules(_converter: OpenAPIConverter, field: fields.Field[Any], **_options: Any) -> dict[str, Any]:
    """Returns the patterns of ``no_nul`` and of regular expressions, with their end as ECMAScript writes it."""
    for rule in field.validators:
        if rule is no_nul:
            return {"pattern": r"^[^\u0000]*$"}
        if isinstance(rule, validate.Regexp):
            return {"pattern": "^" + str(rule.regex.pattern).removesuffix(r"\Z") + "$"}
    return {}


def _add_components(spec: APISpec) -> None:
    for name, scheme in _SECURITY.items():
        spec.components.security_scheme(name, scheme)
    for name, header in ANSWER_HEADERS.items():
        spec.components.header(name, header)
    spec.components.schema("NativePayload", schema=NativePayloadSchema(unknown=INCLUDE))
    spec.components.schema("WhatsAppPayload", WHATSAPP_PAYLOAD)
    spec.components.schema("TwilioPayload", TWILIO_PAYLOAD)
    for name, answer in SHARED.items():
        spec.components.response(name, answer)


def _query_parameters(converter: OpenAPIConverter, query: type[Schema]) -> list[dict[str, Any]]:
    """Describes the parameters of a query string; none can be null, since a parameter without value is left out."""
    parameters: list[dict[str, Any]] = converter.schema2parameters(query, location="query")
    for parameter in parameters:
        schema = parameter["schema"]
        if isinstance(schema["type"], list):
            (schema["type"],) = set(schema["type"]) - {"null"}
            del schema["default"]
        if parameter["name"] in EMPTY_IS_ABSENT:
            parameter["allowEmptyValue"] = True
        for name in ("description", "example"):
            if name in schema:
                parameter[name] = schema.pop(name)
    return parameters


def _described(operation: Operation, query: list[dict[str, Any]]) -> dict[str, Any]:
    described: dict[str, Any] = {
        "operationId": operation.name,
        "tags": [operation.tag],
        "summary": operation.summary,
        "parameters": [*query, *operation.parameters, *COMMON_PARAMETERS],
        "responses": operation.answers,
        "security": [{name: []} for name in _SECURITY] if operation.is_protected else [],
    }
    if operation.description:
        described["description"] = operation.description
    if operation.body is not None:
        described["requestBody"] = operation.body
    return described


def _webhooks() -> dict[str, Any]:
    """Describes the deliveries of each provider."""
    return {
        provider.name: {
            "post": {
                "operationId": f"{provider.name}_sends",
                "tags": [_SENT],
                "summary": signed.sender,
                "parameters": list(signed.headers),
                "requestBody": {
                    "required": True,
                    "content": {
                        content_type: {**content, "schema": {"$ref": f"#/components/schemas/{content['schema']}"}}
                        for content_type, content in signed.body["content"].items()
                    },
                },
                "responses": {"200": {"description": "It is on disk."}},
            }
        }
        for provider, signed in SIGNED.items()
    }
