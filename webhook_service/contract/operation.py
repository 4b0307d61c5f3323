"""A call of the contract."""

from dataclasses import dataclass, field
from typing import Any

from marshmallow import Schema

from webhook_service.contract.descriptions import Answers


@dataclass(frozen=True, slots=True)
class Operation:
    """A call: ``name`` is the operation's ID, and ``query`` the schema of the query string where one is read."""

    method: str
    path: str
    name: str
    tag: str
    summary: str
    answers: Answers
    description: str = ""
    query: type[Schema] | None = None
    parameters: tuple[dict[str, Any], ...] = ()
    body: dict[str, Any] | None = None
    is_protected: bool = field(default=True)
