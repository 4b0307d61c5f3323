"""What was stored before there were sources belongs to the source that is named like its provider."""

from tests.support.messages import message
from tests.support.migrating import engine, insert, migrate_to
from tests.support.stored import opened
from webhook_service.configuration.database_url import parse_url
from webhook_service.domain.messages import MessageFilter, MessageQuery
from webhook_service.domain.quarantine import Quarantined, QuarantineSize
from webhook_service.domain.receipts import ReceiptFilter, ReceiptQuery
from webhook_service.domain.results import Outcome
from webhook_service.storage.migrate import migrate
from webhook_service.storage.queries.messages import encode_message, find_message, insert_messages
from webhook_service.storage.queries.pages import read_page
from webhook_service.storage.queries.quarantine import add_quarantined, list_quarantined, read_sizes
from webhook_service.storage.queries.receipts import list_receipts

TIME = "2025-01-15 10:00:00.000000"
KEPT = {
    "provider": "whatsapp",
    "body_sha256": "x" * 64,
    "raw": b"x" * 100,
    "headers": "{}",
    "target": "/webhook",
    "reason": "not_json",
    "problems": "{}",
    "first_at": TIME,
    "last_at": TIME,
    "count": 1,
}


def fill(url: str) -> None:
    """A message, a receipt and a quarantined delivery of each of two providers."""
    with engine(url) as made, made.begin() as connection:
        for provider in ("native", "whatsapp"):
            item = {"provider": provider, "recipient": "+4930123456", "ts": TIME, "received_at": TIME}
            said = {"sender": "+4915112345678", "text": "Hello", "type": "text"}
            insert(connection, "messages", message_id=f"of-{provider}", **said, **item)
            insert(connection, "receipts", message_id=f"of-{provider}", status="sent", **item)
            insert(connection, "quarantine", **{**KEPT, "provider": provider})


def test_a_message_belongs_to_the_source_that_is_named_like_its_provider(empty_database_url: str) -> None:
    migrate_to(empty_database_url, "0007")
    fill(empty_database_url)

    migrate(parse_url(empty_database_url))

    with opened(empty_database_url) as database:
        with database.snapshot() as snapshot:
            stored = find_message(snapshot, "of-whatsapp")
            by_source = read_page(snapshot, MessageQuery(MessageFilter(source="whatsapp"), 10)).items
            by_provider = read_page(snapshot, MessageQuery(MessageFilter(provider="whatsapp"), 10)).items
            receipts = list_receipts(snapshot, ReceiptQuery(ReceiptFilter(source="whatsapp"), 10)).items
        assert stored is not None
        assert (stored.source, stored.provider) == ("whatsapp", "whatsapp")
        assert by_source == by_provider == [stored]
        assert [(receipt.source, receipt.provider) for receipt in receipts] == [("whatsapp", "whatsapp")]
        with database.transaction() as transaction:
            same = message("of-native", source="native")
            assert insert_messages(transaction, [encode_message(same)]) == [Outcome.DUPLICATE]
            other = message("of-native", source="shop")
            assert insert_messages(transaction, [encode_message(other)]) == [Outcome.CONFLICT]


def test_what_is_in_quarantine_stays_measured_and_is_counted_again_by_source(empty_database_url: str) -> None:
    migrate_to(empty_database_url, "0007")
    fill(empty_database_url)

    migrate(parse_url(empty_database_url))

    each = QuarantineSize(1, 100 + 2 + 8 + 1024)
    with opened(empty_database_url) as database:
        with database.transaction() as transaction:
            shop = Quarantined("native", b"x" * 100, {}, "/webhook", "not_json", {}, message().ts, source="shop")
            assert add_quarantined(transaction, shop)
            assert add_quarantined(transaction, shop)
        with database.snapshot() as snapshot:
            assert read_sizes(snapshot) == {"native": each, "whatsapp": each, "shop": each}
            listed = list_quarantined(snapshot, after=0, limit=10).items
    assert [(kept.source, kept.provider, kept.count) for kept in listed] == [
        ("native", "native", 1),
        ("whatsapp", "whatsapp", 1),
        ("shop", "native", 2),
    ]
