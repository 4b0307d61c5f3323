"""Compares the service's answers with its OpenAPI document."""

import re
from collections.abc import Iterator
from copy import deepcopy
from typing import Any
from urllib.parse import unquote

from flask.testing import FlaskClient
from jsonschema import Draft202012Validator, FormatChecker
from referencing import Registry
from referencing.jsonschema import DRAFT202012
from werkzeug.test import Client, TestResponse

from webhook_service.contract.document import make_document

BASE = "urn:contract"
JSON_TYPE = "application/json"
DOCUMENT = make_document("")
_PATH_PARAMETERS = {"message_id": "(?s:.+)", "entry_id": "[0-9]+", "dead_letter_id": "[0-9]+", "name": "[^/]+"}


def resolve(part: dict[str, Any]) -> dict[str, Any]:
    """Follows a reference within the document."""
    while "$ref" in part:
        found: Any = DOCUMENT
        for step in part["$ref"].removeprefix("#/").split("/"):
            found = found[step]
        part = found
    return part


def operations() -> Iterator[tuple[str, str, dict[str, Any]]]:
    """Yields the path, the method and the operation of every call."""
    for path, methods in DOCUMENT["paths"].items():
        for method, operation in methods.items():
            yield path, method, operation


def _closed(part: Any) -> Any:
    """Forbids fields that the document does not name, so that a test notices each one that is missing from it."""
    if isinstance(part, list):
        return [_closed(inner) for inner in part]
    if not isinstance(part, dict):
        return part
    closed = {name: _closed(inner) for name, inner in part.items()}
    if closed.get("type") == "object" and "properties" in closed:
        closed.setdefault("additionalProperties", False)
    return closed


_REGISTRY: Registry[Any] = Registry().with_resource(BASE, DRAFT202012.create_resource(_closed(deepcopy(DOCUMENT))))
_FORMATS = FormatChecker(["date-time"])


def validate(value: Any, schema: dict[str, Any]) -> None:
    """Validates a value by a schema of the document."""
    absolute = {"$ref": BASE + schema["$ref"]} if "$ref" in schema else _with_base(schema)
    Draft202012Validator(absolute, registry=_REGISTRY, format_checker=_FORMATS).validate(value)


def _with_base(part: Any) -> Any:
    if isinstance(part, list):
        return [_with_base(inner) for inner in part]
    if not isinstance(part, dict):
        return part
    return {
        name: BASE + inner if name == "$ref" and isinstance(inner, str) else _with_base(inner)
        for name, inner in part.items()
    }


class CheckedClient(FlaskClient):
    """A client that compares every answer with the document."""

    def open(self, *args: Any, **kwargs: Any) -> TestResponse:
        """Sends a request, and checks its answer."""
        answer = super().open(*args, **kwargs)
        check(answer)
        return answer


class CheckedForwardingClient(Client):
    """A client of a server that compares every answer with the document."""

    def open(self, *args: Any, **kwargs: Any) -> TestResponse:
        """Sends a request, and checks its answer."""
        answer = super().open(*args, **kwargs)
        check(answer)
        return answer


def find_operation(method: str, path: str) -> dict[str, Any] | None:
    """Returns the operation that answers a path as it was sent; None where the document has none."""
    for template, operation_method, operation in operations():
        pattern = re.escape(template)
        for name, values in _PATH_PARAMETERS.items():
            pattern = pattern.replace(re.escape(f"{{{name}}}"), values)
        if operation_method == method.lower() and re.fullmatch(pattern, unquote(path)):
            return operation
    return None


def check(answer: TestResponse) -> None:
    """Compares an answer with the document, unless the document has no such call."""
    method, path = answer.request.method, answer.request.path
    if method == "GET" and path.endswith("/") and find_operation(method, path) is None:
        path = path.rstrip("/")
    operation = find_operation(method, path)
    if operation is None:
        return
    assert str(answer.status_code) in operation["responses"], f"{answer.status_code} of {method} {path}"
    documented = resolve(operation["responses"][str(answer.status_code)])
    content_type = (answer.content_type or "").partition(";")[0]
    if "content" in documented:
        assert content_type in documented["content"], f"{content_type} of {method} {path}"
    else:
        assert answer.data == b"", f"{method} {path} has a body"
    for name, header in documented["headers"].items():
        assert name in answer.headers or not resolve(header).get("required"), f"no {name} of {method} {path}"
    for name in ("Link", "Retry-After", "WWW-Authenticate", "Content-Disposition"):
        assert name not in answer.headers or name in documented["headers"], f"{name} of {method} {path}"
    if content_type == JSON_TYPE and "content" in documented:
        validate(answer.json, documented["content"][content_type]["schema"])
