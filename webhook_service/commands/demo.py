"""``webhook-service demo``."""

import random
import time
from contextlib import suppress
from datetime import UTC, datetime

import click

from webhook_service.commands.cli_errors import plain_failures
from webhook_service.commands.database import open_database
from webhook_service.commands.inventing import demo_ids, invent_activity, invent_arrival, invent_deliveries
from webhook_service.intake.commit import commit
from webhook_service.storage.database import Database
from webhook_service.storage.queries.activity import add_activity
from webhook_service.storage.queries.counts import count_all
from webhook_service.storage.queries.messages import find_message
from webhook_service.storage.queries.quarantine import read_sizes

BATCH = 100  # deliveries in one transaction
TRICKLE = 0.5  # messages a second, on average


@click.command()
@click.option("--count", default=400, show_default=True, type=click.IntRange(1, 100_000), help="Messages to invent.")
@click.option("--trickle", is_flag=True, help="Then go on with a message every other second, until Ctrl-C.")
def demo(count: int, trickle: bool) -> None:  # a flag of the command line
    """Fill an empty inbox with invented messages, receipts and quarantined deliveries, to try the dashboard.

    Nothing is sent to anyone, and an inbox that holds anything else is left alone.
    """
    with plain_failures(), open_database() as database:
        if _is_empty(database):
            _fill(database, count)
            click.echo(f"{count} invented messages: see /dashboard/")
        elif not (trickle and _is_invented(database)):
            raise click.ClickException("the inbox is not empty: nothing was added")
        if trickle:
            click.echo("A message every other second. Ctrl-C ends it.")
            with suppress(KeyboardInterrupt):
                _trickle(database)


def _fill(database: Database, count: int) -> None:
    now = datetime.now(UTC)
    batch = invent_deliveries(count, now)
    for at in range(0, len(batch), BATCH):
        commit(database, batch[at : at + BATCH])
    with database.transaction() as transaction:
        add_activity(transaction, invent_activity(count, now))


def _trickle(database: Database) -> None:
    chance = random.Random()  # noqa: S311  # nothing here is secret
    while True:
        writes, activity = invent_arrival(chance, datetime.now(UTC))
        commit(database, [writes])
        with database.transaction() as transaction:
            add_activity(transaction, [activity])
        time.sleep(chance.expovariate(TRICKLE))


def _is_empty(database: Database) -> bool:
    with database.primary_snapshot() as snapshot:
        return not count_all(snapshot) and not any(size.deliveries for size in read_sizes(snapshot).values())


def _is_invented(database: Database) -> bool:
    with database.primary_snapshot() as snapshot:
        return any(find_message(snapshot, message_id) for message_id in demo_ids())
