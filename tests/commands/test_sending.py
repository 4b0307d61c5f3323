"""``webhook-service send`` fails unless each delivery was accepted."""

from collections import Counter

import pytest

from webhook_service.commands.sending import NO_ANSWER, Summary


@pytest.mark.parametrize(
    ("statuses", "failed"),
    [
        ({"200": 3}, False),
        ({"204": 1}, False),  # which a declared source may answer
        ({"200": 2, "202": 1}, False),
        ({"200": 2, "401": 1}, True),
        ({"200": 2, NO_ANSWER: 1}, True),
        ({}, True),
    ],
)
def test_a_load_has_failed_unless_each_answer_was_a_success(statuses: dict[str, int], failed: bool) -> None:
    assert Summary(Counter(statuses)).has_failures is failed
