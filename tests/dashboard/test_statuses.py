"""The current status of an outgoing message does not depend on the order in which its receipts arrive."""

from datetime import timedelta
from itertools import permutations

import pytest

from tests.support.messages import MOMENT
from webhook_service.dashboard.statuses import statuses_by_recipient
from webhook_service.domain.receipts import StoredReceipt


def receipt(number: int, status: str, recipient: str = "+4930123456", seconds: int = 0) -> StoredReceipt:
    ts = MOMENT + timedelta(seconds=seconds)
    return StoredReceipt(number, "m", "whatsapp", status, recipient, ts, ts, None, None, "whatsapp")


@pytest.mark.parametrize(
    ("statuses", "current"),
    [
        (("sent", "delivered"), "delivered"),
        (("sent", "delivered", "read"), "read"),
        (("queued", "sent", "failed"), "failed"),
        (("failed", "delivered"), "delivered"),
        (("sent", "undreamt-of"), "sent"),
    ],
)
def test_the_status_is_the_furthest_whatever_arrived_last(statuses: tuple[str, ...], current: str) -> None:
    for order in permutations(statuses):
        receipts = [receipt(number, status) for number, status in enumerate(order)]
        assert [each.status for each in statuses_by_recipient(receipts).values()] == [current]


def test_of_two_that_rank_alike_the_later_counts() -> None:
    receipts = [receipt(1, "failed", seconds=9), receipt(2, "undelivered", seconds=3)]

    assert statuses_by_recipient(receipts)["+4930123456"].status == "failed"


def test_each_recipient_of_a_group_has_a_status() -> None:
    receipts = [receipt(1, "read", "a"), receipt(2, "sent", "b")]

    assert {who: each.status for who, each in statuses_by_recipient(receipts).items()} == {"a": "read", "b": "sent"}
