"""The age of an answer from a replica."""

from typing import Any

from webhook_service.domain.statistics import Age


def present_age(age: Age | None) -> dict[str, Any]:
    """Converts the age of an answer to its JSON field; an answer from the primary has no such field."""
    return {} if age is None else {"age_seconds": age.seconds}
