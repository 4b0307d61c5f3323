"""What requests do while a server is away: one finds out, the others don't wait."""

from contextlib import suppress

import pytest

from tests.support.waiting import wait_until
from webhook_service.domain.errors import StorageUnavailable
from webhook_service.storage.outage import Outage


def is_tried(outage: Outage, *, and_succeeds: bool) -> bool:
    """Tells whether a request is let through to a server that is there, or is not."""
    tried = False
    with suppress(StorageUnavailable), outage.attempt():
        tried = True
        if not and_succeeds:
            raise StorageUnavailable("away")
    return tried


def test_every_request_goes_to_a_server_that_is_there() -> None:
    outage = Outage()

    assert all(is_tried(outage, and_succeeds=True) for _ in range(3))


def test_after_a_failure_the_next_request_is_told_the_same_without_trying() -> None:
    outage = Outage()
    is_tried(outage, and_succeeds=False)

    with pytest.raises(StorageUnavailable) as told, outage.attempt():
        pytest.fail("it tried")

    assert told.value.detail == "away"


def test_one_request_tries_again_while_the_others_are_told_at_once() -> None:
    outage = Outage()
    is_tried(outage, and_succeeds=False)
    others: list[bool] = []

    def tries_and_fails() -> bool:
        tried = False
        with suppress(StorageUnavailable), outage.attempt():
            tried = True
            others.extend(is_tried(outage, and_succeeds=True) for _ in range(3))
            raise StorageUnavailable("away")
        return tried

    wait_until(tries_and_fails, "another attempt")

    assert others == [False] * 3
    assert not is_tried(outage, and_succeeds=True)


def test_once_it_is_back_every_request_goes_there_again() -> None:
    outage = Outage()
    is_tried(outage, and_succeeds=False)

    wait_until(lambda: is_tried(outage, and_succeeds=True), "another attempt")

    assert all(is_tried(outage, and_succeeds=True) for _ in range(3))
