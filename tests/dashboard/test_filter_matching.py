"""New messages that an open list counts are those that it would list."""

from datetime import timedelta

import pytest

from tests.support.messages import MOMENT, message
from tests.support.stored import accept
from webhook_service.dashboard.filter_matching import matches
from webhook_service.domain.deliveries import Contents
from webhook_service.domain.messages import MessageFilter, MessageQuery
from webhook_service.storage.database import Database
from webhook_service.storage.queries.messages import read_feed
from webhook_service.storage.queries.pages import read_page

MESSAGES = (
    message("plain"),
    message("later", ts=MOMENT + timedelta(seconds=1)),
    message("from another", sender="+1"),
    message("to another", recipient="+2"),
    message("of another provider", provider="twilio"),
    message("folded", text="STRASSE"),
    message("without text", text=None),
    message("of another type", type="image", text=None),
)


@pytest.mark.parametrize(
    ("wanted", "number"),
    [
        (MessageFilter(), 8),
        (MessageFilter(sender="+1"), 1),
        (MessageFilter(recipient="+2"), 1),
        (MessageFilter(provider="twilio"), 1),
        (MessageFilter(since=MOMENT + timedelta(seconds=1)), 1),
        (MessageFilter(until=MOMENT + timedelta(seconds=1)), 7),
        (MessageFilter(q="hello"), 5),
        (MessageFilter(type="image"), 1),
        (MessageFilter(type="text", q="straße"), 1),
        (MessageFilter(q="straße"), 1),
        (MessageFilter(q="hello", sender="+1"), 1),
    ],
)
def test_a_message_is_counted_as_the_database_would_list_it(
    wanted: MessageFilter, number: int, database: Database
) -> None:
    accept(database, Contents(messages=MESSAGES))

    with database.snapshot() as snapshot:
        listed = {each.message_id for each in read_page(snapshot, MessageQuery(wanted, limit=100)).items}
        counted = {each.message_id for each in read_feed(snapshot, 0, 100) if matches(each, wanted)}

    assert counted == listed
    assert len(counted) == number
