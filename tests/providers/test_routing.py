"""The source that an item belongs to, by a value in it."""

from typing import Any

import pytest

from webhook_service.providers.routing import Route

ROUTE = Route("metadata.phone_number_id", {"1": "berlin", "2": "paris"})


@pytest.mark.parametrize(
    ("item", "source"),
    [
        ({"metadata": {"phone_number_id": "1"}}, "berlin"),
        ({"metadata": {"phone_number_id": 2}}, "paris"),
        ({"metadata": {"phone_number_id": "3"}}, "first"),
        ({"metadata": {"phone_number_id": True}}, "first"),
        ({"metadata": {"phone_number_id": ["1"]}}, "first"),
        ({"metadata": {}}, "first"),
        ({"metadata": "1"}, "first"),
        ([], "first"),
        (None, "first"),
    ],
)
def test_an_unknown_value_stays_with_the_first_source(item: Any, source: str) -> None:
    assert ROUTE.source_of(item, "first") == source


@pytest.mark.parametrize("by", ["starts_with(id, '1')", "contains(id, '1')", "id > name", "ceil(to_number(name))"])
def test_an_expression_that_does_not_take_what_it_finds_leaves_the_item_with_the_first_source(by: str) -> None:
    assert Route(by, {"1": "berlin"}).source_of({"id": 1, "name": "1e999"}, "first") == "first"


def test_an_expression_that_is_none_is_refused() -> None:
    with pytest.raises(ValueError, match="not a JMESPath"):
        Route("a[", {})
