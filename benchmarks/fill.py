"""Fills a new database with messages of one year: ``python -m benchmarks.fill --messages 1000000``.

Migrations take over what they find: they count and index the messages that are there already. So the rows go into the
table of the first migration while that has no indexes, and then the other migrations are run. The result is exactly the
schema of the migrations, and each index is built once instead of row by row.
"""

import random
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from itertools import islice, product
from pathlib import Path
from typing import Any

import click
from sqlalchemy import URL, Connection, create_engine, inspect, text
from sqlalchemy.pool import NullPool

from webhook_service.configuration.database_url import parse_url
from webhook_service.domain.search import fold
from webhook_service.storage.migrate import upgrade

BATCH = 10_000
YEAR = timedelta(days=365)
END = datetime(2026, 1, 1, tzinfo=UTC)
LATE = 600  # seconds by which a message's ``ts`` may be before those of messages stored earlier

COMMON_WORD = "hello"  # in every fifth text
RARE_WORD = "zeppelin"  # in one text of 200,000
ABSENT_WORD = "xylophone"
RECIPIENTS = [f"+49301234{number:03}" for number in range(50)]
PROVIDERS = ("native", "whatsapp", "twilio")

FIRST_MIGRATION = "0001"  # the migration that makes the table of messages
COLUMNS = ("message_id", "provider", "sender", "recipient", "ts", "text", "text_folded", "type", "received_at")

Row = tuple[str, ...]
Write = Callable[[Connection, Sequence[Row]], object]

_syllables = ("ka", "to", "mi", "ren", "sol", "ba", "ne", "tir", "lo", "ve", "da", "gu", "shi", "pra")
VOCABULARY = ["".join(parts) for size in (2, 3) for parts in product(_syllables, repeat=size)]

# Nothing is synced, since an interrupted fill is begun anew, and large steps are sorted in memory.
_SQLITE_PRAGMAS = ("journal_mode = DELETE", "synchronous = OFF", "cache_size = -1000000")
_SQLITE_INSERT = f"INSERT INTO messages ({', '.join(COLUMNS)}) VALUES ({', '.join('?' * len(COLUMNS))})"
_SQLITE_INDEXES = "SELECT name, sql FROM sqlite_master WHERE type = 'index' AND tbl_name = 'messages' AND sql NOT NULL"

_POSTGRESQL_SETTINGS = ("timezone = 'UTC'", "maintenance_work_mem = '1GB'", "synchronous_commit = off")
_POSTGRESQL_COPY = f"COPY messages ({', '.join(COLUMNS)}) FROM STDIN"
_POSTGRESQL_INDEXES = """
    SELECT indexrelid::regclass, pg_get_indexdef(indexrelid) FROM pg_index
    WHERE indrelid = 'messages'::regclass AND indexrelid NOT IN (SELECT conindid FROM pg_constraint)
"""


def rows(number: int, senders: int) -> Iterator[Row]:
    """Yields the ``COLUMNS`` of messages, nearly in the order of their ``ts``; a few senders send much, most little."""
    chance = random.Random(1)
    uniform, random_bits = chance.random, chance.getrandbits
    beginnings, ends = _beginnings(chance), _ends(chance)
    for at in range(number):
        words = f"{beginnings[int(uniform() * len(beginnings))]} {ends[int(uniform() * len(ends))]}"
        if uniform() < 1 / 200_000:
            words = f"{words.rpartition(' ')[0]} {RARE_WORD}"
        sent = at / number * _YEAR_SECONDS - uniform() * LATE
        yield (
            f"fill-{at:09}-{random_bits(32):08x}",
            PROVIDERS[int(uniform() * len(PROVIDERS))],
            sender(int(senders * uniform() ** 2)),
            RECIPIENTS[int(uniform() * len(RECIPIENTS))],
            _timestamp(sent),
            words,
            fold(words),
            "text",
            _timestamp(sent + 1),
        )


def sender(number: int) -> str:
    """Returns the phone number of a sender; the smaller its ``number``, the more it sends."""
    return f"+4915{number:08}"


# Texts are made of two prepared parts, since choosing each word would cost more than storing it.
def _beginnings(chance: random.Random) -> list[str]:
    parts = [chance.choices(VOCABULARY, k=chance.randint(1, 6)) for _ in range(5_000)]
    for part in parts[::5]:
        part[0] = COMMON_WORD.capitalize()
    return [" ".join(part) for part in parts]


def _ends(chance: random.Random) -> list[str]:
    return [" ".join(chance.choices(VOCABULARY, k=chance.randint(2, 6))) for _ in range(5_000)]


# Times are prepared, too; they are written as ``storage.queries.insert.timestamp_value`` writes them.
_FIRST_DAY = END - YEAR - timedelta(days=1)
_DAYS = [str((_FIRST_DAY + timedelta(days=day)).date()) for day in range(YEAR.days + 2)]
_SECONDS = [f"{hour:02}:{minute:02}:{second:02}" for hour, minute, second in product(range(24), range(60), range(60))]
_YEAR_SECONDS = YEAR.total_seconds()


def _timestamp(seconds: float) -> str:
    """Writes the time that is so many seconds after the beginning of the year, or a few before it."""
    microseconds = int((seconds + 86_400) * 1_000_000)
    whole, fraction = divmod(microseconds, 1_000_000)
    day, second = divmod(whole, 86_400)
    return f"{_DAYS[day]} {_SECONDS[second]}.{fraction:06}"


def fill(url: str, number: int, senders: int) -> None:
    """Makes the tables and stores ``number`` messages, with a progress bar.

    This is one transaction, so that nothing is left of an interrupted fill. A database that has the tables already is
    refused.
    """
    parsed = parse_url(url)
    if parsed.drivername == "sqlite":
        with _sqlite(parsed) as connection:
            _load(connection, number, senders, _insert, _SQLITE_INDEXES)
    else:
        with _postgresql(parsed) as connection:
            _load(connection, number, senders, _copy, _POSTGRESQL_INDEXES)


def is_filled(url: str) -> bool:
    """Tells whether the database has the tables already."""
    engine = create_engine(parse_url(url), poolclass=NullPool)
    with engine.connect() as connection:
        return inspect(connection).has_table("messages")


def _load(connection: Connection, number: int, senders: int, write: Write, list_indexes: str) -> None:
    if inspect(connection).has_table("messages"):
        raise click.ClickException("only a new database can be filled, and this one has tables already")
    upgrade(connection, FIRST_MIGRATION)
    indexes = connection.execute(text(list_indexes)).all()
    for name, _ in indexes:
        connection.exec_driver_sql(f"DROP INDEX {name}")
    made = rows(number, senders)
    with click.progressbar(length=number, label="Filling", file=sys.stderr, show_pos=True) as bar:
        while batch := list(islice(made, BATCH)):
            write(connection, batch)
            bar.update(len(batch))
    click.echo("Indexing and counting", err=True)
    for _, definition in indexes:
        connection.exec_driver_sql(definition)
    upgrade(connection)


@contextmanager
def _sqlite(url: URL) -> Iterator[Connection]:
    Path(url.database or "").parent.mkdir(parents=True, exist_ok=True)
    engine = create_engine(url, poolclass=NullPool, connect_args={"isolation_level": None})
    with engine.connect() as connection:
        for pragma in _SQLITE_PRAGMAS:
            connection.exec_driver_sql(f"PRAGMA {pragma}")
        connection.exec_driver_sql("BEGIN IMMEDIATE")
        yield connection
        connection.exec_driver_sql("COMMIT")
        connection.exec_driver_sql("PRAGMA journal_mode = WAL")


def _insert(connection: Connection, batch: Sequence[Row]) -> None:
    connection.exec_driver_sql(_SQLITE_INSERT, list(batch))


@contextmanager
def _postgresql(url: URL) -> Iterator[Connection]:
    engine = create_engine(url, poolclass=NullPool)
    with engine.begin() as connection:
        for setting in _POSTGRESQL_SETTINGS:
            connection.exec_driver_sql(f"SET LOCAL {setting}")
        yield connection
    # Autovacuum would do this some minutes later.
    with engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
        connection.exec_driver_sql("VACUUM (ANALYZE)")


def _copy(connection: Connection, batch: Sequence[Row]) -> None:
    # No value holds characters that have to be escaped for COPY.
    psycopg_connection: Any = connection.connection.driver_connection
    with psycopg_connection.cursor() as cursor, cursor.copy(_POSTGRESQL_COPY) as copy:
        copy.write("".join(["\t".join(row) + "\n" for row in batch]))


@click.command()
@click.option("--url", default="sqlite:///data/benchmark.db", show_default=True, help="Database to make and fill.")
@click.option("--messages", "number", default=1_000_000, show_default=True, type=click.IntRange(1))
@click.option("--senders", default=2_000, show_default=True, type=click.IntRange(1))
def main(url: str, number: int, senders: int) -> None:
    """Make a database and fill it."""
    fill(url, number, senders)


if __name__ == "__main__":
    main()
