"""``webhook-service resend``."""

import sys
from collections.abc import Iterator
from dataclasses import replace
from itertools import chain

import click

from webhook_service.commands.cli_errors import plain_failures
from webhook_service.commands.database import open_database
from webhook_service.commands.filters import filter_options, load_filter
from webhook_service.domain.consumers import ConsumerKind, ConsumerNotFound
from webhook_service.domain.messages import MessageFilter
from webhook_service.outlet.resending import resend as give_again
from webhook_service.storage.database import Database
from webhook_service.storage.queries.batches import read_batches
from webhook_service.storage.queries.messages import find_message
from webhook_service.storage.queries.pages import count_messages


@click.command()
@click.option("--consumer", help="Name of the consumer that gets them.")
@click.option("--destination", help="Name of the destination that gets them.")
@click.option(
    "--id", "message_ids", multiple=True, metavar="ID", help="Only the message with this ID; may be repeated."
)
@filter_options
@click.option("--all", "is_all", is_flag=True, help="All messages.")
@click.option("--dry-run", is_flag=True, help="Only say how many they are.")
def resend(
    consumer: str | None,
    destination: str | None,
    message_ids: tuple[str, ...],
    is_all: bool,  # a flag of the command line
    dry_run: bool,  # likewise
    **filters: str | None,
) -> None:
    """Give messages that are stored to a consumer or a destination again, oldest first.

    A filter of its own applies all the same.
    """
    if (consumer is None) == (destination is None):
        raise click.UsageError("say either --consumer or --destination")
    if [any(value is not None for value in filters.values()), bool(message_ids), is_all].count(True) != 1:
        raise click.UsageError("say which messages: by filters, by --id, or --all")
    kind = ConsumerKind.CONSUMER if destination is None else ConsumerKind.DESTINATION
    with plain_failures(), open_database() as database:
        choice = _ByIds(database, message_ids) if message_ids else _ByFilter(database, load_filter(filters))
        total = choice.count()
        if dry_run:
            click.echo(f"{total:,} messages would be given again")
            return
        _give_again(database, kind, consumer or destination or "", choice, total)


def _give_again(database: Database, kind: ConsumerKind, name: str, choice: "_ByIds | _ByFilter", total: int) -> None:
    number = 0
    try:
        with click.progressbar(length=total, label="Resending", file=sys.stderr, show_pos=True) as bar:
            for batch in chain([[]], choice.batches()):
                give_again(database, kind, name, batch)
                number += len(batch)
                bar.update(len(batch))
    except ConsumerNotFound:
        raise click.ClickException(f"there is no {kind} of this name") from None
    click.echo(f"{number:,} messages are given again", err=True)


class _ByFilter:
    """Messages that pass a filter, without test messages."""

    def __init__(self, database: Database, wanted: MessageFilter) -> None:
        self._database, self._wanted = database, replace(wanted, for_programs=True)

    def count(self) -> int:
        with self._database.long_snapshot() as snapshot:
            return count_messages(snapshot, self._wanted)

    def batches(self) -> Iterator[list[int]]:
        """Yields batches of the messages' ids in the feed."""
        for batch in read_batches(self._database, self._wanted, None):
            yield [message.id for message in batch]


class _ByIds:
    """Messages that are named one by one, without test messages."""

    def __init__(self, database: Database, message_ids: tuple[str, ...]) -> None:
        with database.primary_snapshot() as snapshot:
            found = {message_id: find_message(snapshot, message_id) for message_id in message_ids}
        if missing := [repr(message_id) for message_id, message in found.items() if message is None]:
            raise click.ClickException(f"there is no message {', '.join(missing)}")
        self._ids = [message.id for message in found.values() if message and not message.is_test]

    def count(self) -> int:
        return len(self._ids)

    def batches(self) -> Iterator[list[int]]:
        """Yields batches of the messages' ids in the feed."""
        yield self._ids
