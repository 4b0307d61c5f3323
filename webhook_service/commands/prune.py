"""``webhook-service prune`` and ``erase``."""

import re
import sys
from collections import Counter
from collections.abc import Callable, Mapping
from datetime import UTC, datetime, timedelta
from typing import Any

import click

from webhook_service.commands.cli_errors import plain_failures
from webhook_service.commands.database import open_database
from webhook_service.storage.database import Database
from webhook_service.storage.queries.consumers import read_done_up_to
from webhook_service.storage.queries.deletion import TABLES, DeletableTable, RowsToDelete, count_old, in_batches
from webhook_service.storage.writing import Transaction

AGE_DIGITS = 5
_UNITS = {"h": timedelta(hours=1), "d": timedelta(days=1), "w": timedelta(weeks=1)}


class AgeOption(click.ParamType[timedelta]):
    """A number of hours, days or weeks: 36h, 90d, 52w."""

    name = "age"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> timedelta:
        spelled = re.fullmatch(r"([0-9]+)([hdw])", value)
        if spelled is None:
            self.fail("not a number of hours, days or weeks such as 36h, 90d or 52w", param, ctx)
        if len(spelled[1]) > AGE_DIGITS:
            self.fail(f"the most is {'9' * AGE_DIGITS}{spelled[2]}", param, ctx)
        return int(spelled[1]) * _UNITS[spelled[2]]


@click.command()
@click.option("--older-than", "age", type=AgeOption(), required=True, help="Such as 36h, 90d or 52w, by their ts.")
@click.option("--even-unread", is_flag=True, help="Messages that a consumer or a destination has not had, too.")
@click.option("--dry-run", is_flag=True, help="Only say how much would go.")
def prune(age: timedelta, even_unread: bool, dry_run: bool) -> None:  # flags of the command line
    """Delete what is older than an age, while deliveries go on."""
    before = datetime.now(UTC) - age

    def choose(table: DeletableTable, snapshot: Transaction) -> list[RowsToDelete]:
        done_up_to = {} if even_unread else read_done_up_to(snapshot)
        return table.older_than(before, min(done_up_to.values(), default=None))

    _delete_all(TABLES, choose, dry_run=dry_run)
    if not even_unread:
        _tell_what_stays(before)


def _tell_what_stays(before: datetime) -> None:
    """Prints the consumers because of which old messages stay, since they have not had them yet."""
    with plain_failures(), open_database() as database, database.long_snapshot() as snapshot:
        for name, done_up_to in read_done_up_to(snapshot).items():
            number = count_old(snapshot, before, done_up_to)
            if number:
                click.echo(f"{number:,} older messages stay, as {name} has not had them: --even-unread", err=True)


@click.command()
@click.option("--number", required=True, help="As it stands in the messages, such as +4915112345678.")
@click.option("--dry-run", is_flag=True, help="Only say how much would go.")
def erase(number: str, dry_run: bool) -> None:  # a flag of the command line
    """Delete every trace of one person: what they sent and what was sent to them."""
    of_persons = {what: table for what, table in TABLES.items() if table.find_about}
    found = _delete_all(of_persons, lambda table, snapshot: table.about_number(snapshot, number), dry_run=dry_run)
    if not found["messages"] and not found["receipts"]:
        click.echo(f"No message and no receipt has exactly {number!r} as its sender or recipient.", err=True)
        if re.fullmatch(r"(00)?[1-9][0-9]{5,14}", number):
            click.echo(f"Most providers write it with a plus: --number +{number.removeprefix('00')}", err=True)


def _delete_all(
    tables: Mapping[str, DeletableTable],
    choose: Callable[[DeletableTable, Transaction], list[RowsToDelete]],
    *,
    dry_run: bool,
) -> Counter[str]:
    """Deletes what is chosen of each table or, in a dry run, only prints how much that is; returns counts by table."""
    found: Counter[str] = Counter()
    with plain_failures(), open_database() as database:
        for what, table in tables.items():
            with database.long_snapshot() as snapshot:
                rows = choose(table, snapshot)
                numbers = [part.count_and_find_oldest(snapshot) for part in rows]
            found[what] = sum(numbers)
            if dry_run:
                click.echo(f"{found[what]:,} {what} would be deleted")
            else:
                click.echo(f"{_delete(database, rows, numbers):,} {what} deleted")
    return found


def _delete(database: Database, rows: list[RowsToDelete], numbers: list[int]) -> int:
    """Deletes rows that were counted.

    Of old rows no more than these, as to find that none is left means to pass over all that stay.
    """
    deleted = 0
    with click.progressbar(length=sum(numbers), label="Deleting", file=sys.stderr) as bar:
        for part, number in zip(rows, numbers, strict=True):
            most = sys.maxsize if part.age is None else number
            for done in in_batches(database, part.delete, most):
                deleted += done
                bar.update(done)
    return deleted
