"""Bodies of calls: a JSON object, read by a schema."""

from collections.abc import Mapping
from typing import Any

import orjson
from marshmallow import RAISE, Schema, ValidationError

from webhook_service.schemas.fields import errors_by_field


class BodyInvalid(Exception):
    """A body that breaks the contract; ``problems`` names the fields and what is wrong with each."""

    def __init__(self, problems: Mapping[str, Any]) -> None:
        super().__init__("invalid body")
        self.problems = problems


class BodySchema(Schema):
    """The body of a call; an unknown field is refused, so that a misspelt one is not ignored."""

    class Meta:
        unknown = RAISE


def load_body(schema: Schema, raw: bytes) -> dict[str, Any]:
    """Loads a body by a schema; no body counts as an empty object. BodyInvalid when something is wrong with it."""
    try:
        content = orjson.loads(raw) if raw else {}
    except ValueError:
        raise BodyInvalid({"body": ["Not valid JSON."]}) from None
    if not isinstance(content, dict):
        raise BodyInvalid({"body": ["Not a JSON object."]})
    try:
        loaded: dict[str, Any] = schema.load(content)
    except ValidationError as invalid:
        raise BodyInvalid(_flat(errors_by_field(invalid))) from None
    return loaded


def _flat(problems: Mapping[str, Any], prefix: str = "") -> dict[str, list[str]]:
    """Flattens errors: fields of inner objects are named by their path, as errors are lists by field everywhere."""
    flat: dict[str, list[str]] = {}
    for name, found in problems.items():
        if isinstance(found, Mapping):
            flat.update(_flat(found, f"{prefix}{name}."))
        else:
            flat[f"{prefix}{name}"] = [str(each) for each in found]
    return flat
