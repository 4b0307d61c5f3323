"""Fills a migrated database with messages of one year: ``python benchmarks/fill.py --messages 1000000``.

The rows go straight into the table, a batch a transaction, by the statement that the service itself inserts with.
"""

import itertools
import random
import sys
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta

import click

from webhook_service.domain import Message
from webhook_service.settings import parse_url
from webhook_service.storage.database import Database
from webhook_service.storage.insert import Row
from webhook_service.storage.messages import encode_message, insert_messages
from webhook_service.storage.migrate import migrate

BATCH = 2_000
YEAR = timedelta(days=365)
END = datetime(2026, 1, 1, tzinfo=UTC)

COMMON_WORD = "hello"  # in every fifth text
RARE_WORD = "zeppelin"  # in one of 200,000
ABSENT_WORD = "xylophone"
RECIPIENTS = [f"+49301234{number:03}" for number in range(50)]
PROVIDERS = ("native", "whatsapp", "twilio")

_syllables = ("ka", "to", "mi", "ren", "sol", "ba", "ne", "tir", "lo", "ve", "da", "gu", "shi", "pra")
VOCABULARY = ["".join(parts) for size in (2, 3) for parts in itertools.product(_syllables, repeat=size)]


def messages(number: int, senders: int, first: int = 0) -> Iterator[Message]:
    """Messages in nearly the order of their ``ts``; a few senders send much, most send little."""
    chance = random.Random(first)
    step = YEAR / number
    for at in range(number):
        sent = END - YEAR + step * at - timedelta(seconds=chance.random() * 600)
        yield Message(
            message_id=f"fill-{first + at:09}-{chance.getrandbits(32):08x}",
            provider=chance.choice(PROVIDERS),
            sender=f"+4915{int(senders * chance.random() ** 2):08}",
            recipient=chance.choice(RECIPIENTS),
            ts=sent,
            received_at=sent + timedelta(seconds=1),
            text=_text(chance),
        )


def _text(chance: random.Random) -> str:
    words = chance.choices(VOCABULARY, k=chance.randint(3, 12))
    if chance.random() < 0.2:
        words[0] = COMMON_WORD.capitalize()
    if chance.random() < 1 / 200_000:
        words[-1] = RARE_WORD
    return " ".join(words)


def rows(number: int, senders: int, first: int = 0) -> Iterator[list[Row]]:
    """The same in batches, as ``insert_messages`` takes them."""
    encoded = map(encode_message, messages(number, senders, first))
    while batch := list(itertools.islice(encoded, BATCH)):
        yield batch


@click.command()
@click.option("--url", default="sqlite:///data/benchmark.db", show_default=True, help="Database to fill.")
@click.option("--messages", "number", default=1_000_000, show_default=True, type=click.IntRange(1))
@click.option("--senders", default=2_000, show_default=True, type=click.IntRange(1))
@click.option("--first", default=0, show_default=True, help="Number of the first message, to fill in several runs.")
def main(url: str, number: int, senders: int, first: int) -> None:
    """Migrate a database and fill it."""
    parsed = parse_url(url)
    migrate(parsed)
    database = Database(parsed, pool_size=1)
    with click.progressbar(length=number, label="Filling", file=sys.stderr, show_pos=True) as bar:
        for batch in rows(number, senders, first):
            with database.transaction() as transaction:
                insert_messages(transaction, batch)
            bar.update(len(batch))
    database.close()


if __name__ == "__main__":
    main()
