"""Samples: puts a message in the places where the expressions of a declaration look for it."""

from collections.abc import Mapping
from copy import deepcopy
from typing import Any

from webhook_service.domain.formats import format_timestamp
from webhook_service.domain.messages import Message
from webhook_service.providers.declarations.expressions import Expression
from webhook_service.providers.declarations.payload import Payload
from webhook_service.providers.declarations.schemes import Path, SampleDraft

_TIMES = {"s": 1, "ms": 1000}


def draft_of(message: Message, payload: Payload, target: str, example: Any, headers: Mapping[str, str]) -> SampleDraft:
    """Makes an unsigned delivery of a message, on the basis of an example of the provider's if there is one.

    Where an expression is no plain path, such as a function of several fields, the example's value stays.
    """
    content = deepcopy(example) if example is not None else {}
    form = "application/x-www-form-urlencoded" if payload.is_form else "application/json"
    draft = SampleDraft(target, content, message.received_at, payload.is_form, {"Content-Type": form, **headers})
    ts: Any = format_timestamp(message.ts)
    if payload.ts_format != "iso":
        ts = int(message.ts.timestamp() * _TIMES[payload.ts_format])
    values: list[tuple[Expression | None, Any]] = [
        (_settable_type(payload.type), message.type),
        (payload.recipient, message.recipient),
        (payload.sender, message.sender),
        (payload.ts, ts),
        (payload.text, message.text or ""),
        (payload.message_id.field, message.message_id),
    ]
    for expression, value in values:
        path = expression.path if expression is not None else None
        if path:
            _put(draft, path, value, _item_path(payload))
    if payload.message_id.field is None and payload.message_id.header:
        draft.headers[payload.message_id.header] = message.message_id
    return draft


def _settable_type(expression: Expression | None) -> Expression | None:
    """Returns the expression for the type, unless it has alternatives or functions: then other fields decide it."""
    is_plain = expression is not None and expression.compiled.parsed["type"] == "subexpression"
    return expression if is_plain else None


def _item_path(payload: Payload) -> Path:
    """Returns the path of the first item."""
    if payload.items is None:
        return ()
    path = (payload.items.path or ())[1:]
    return path if path and isinstance(path[-1], int) else (*path, 0)


def _put(draft: SampleDraft, path: Path, value: Any, item_path: Path) -> None:
    root, rest = path[0], path[1:]
    if root == "headers" and len(rest) == 1:
        draft.headers[str(rest[0])] = str(value)
    elif root == "body" and rest:
        draft.put_at(rest, value)
    elif root == "item" and rest:
        draft.put_at(item_path + rest, value)
