"""``webhook-service forward``."""

from pathlib import Path

from tests.support.consumers import store
from tests.support.forwarder import ForwarderProcess
from tests.support.receivers import MALFORMED, Receiver, raw
from tests.support.waiting import wait_until
from webhook_service.configuration.database_url import parse_url
from webhook_service.storage.database import Database


def test_a_malformed_answer_gets_no_url_written_to_the_log(sqlite_url: str, tmp_path: Path) -> None:
    database = Database(parse_url(sqlite_url), pool_size=1)
    store(database, "m1")
    database.close()
    with (
        Receiver(raw(MALFORMED, then_close=True)) as receiver,
        ForwarderProcess(sqlite_url, tmp_path, receiver.url) as forwarder,
    ):
        wait_until(lambda: bool(receiver.received), "the push")
        assert forwarder.stop() == 0

    assert "pushing to shop" in forwarder.log()
    assert "/hook" not in forwarder.log()
    assert "no header at all" not in forwarder.log()
