"""The age of an answer."""

from typing import Any

from webhook_service.domain import Age


def present_age(age: Age | None) -> dict[str, Any]:
    """How old an answer is, for one that comes from a replica."""
    return {} if age is None else {"age_seconds": age.seconds}
