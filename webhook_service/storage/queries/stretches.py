"""The table of stretches, which consumers were given and have not acknowledged: few rows, however much is stored."""

from collections.abc import Sequence
from datetime import datetime
from itertools import starmap
from typing import Any

from sqlalchemy import Connection, bindparam, delete, func, insert, select, union_all, update

from webhook_service.domain.consumers import Consumer, Stretch
from webhook_service.storage.consumer_models import StretchRow
from webhook_service.storage.writing import Transaction

_stretches = select(
    StretchRow.id,
    StretchRow.after,
    StretchRow.last,
    StretchRow.attempt,
    StretchRow.token,
    StretchRow.given_at,
    StretchRow.free_at,
    StretchRow.reason,
    StretchRow.done,
)


# These statements are made once: SQLAlchemy takes longer to make one than SQLite takes to execute it.
_of_consumer = StretchRow.consumer_id == bindparam("consumer")
_unavailable = _stretches.where(_of_consumer, StretchRow.free_at > bindparam("now"))
_free = (
    _stretches.where(_of_consumer, StretchRow.free_at <= bindparam("now"))
    .order_by(StretchRow.after, StretchRow.id)
    .limit(1)
)
_unavailable_and_free = union_all(_unavailable, select(_free.subquery()))
_leased = _stretches.where(_of_consumer, StretchRow.token == bindparam("token"))
_insert = insert(StretchRow)
_change = update(StretchRow).where(StretchRow.id == bindparam("stretch"))
_delete = delete(StretchRow).where(StretchRow.id == bindparam("stretch"))
_delete_leased = delete(StretchRow).where(_of_consumer, StretchRow.token == bindparam("token"))
_delete_all = delete(StretchRow).where(_of_consumer)


def read_unavailable_and_free(
    connection: Connection, consumer: Consumer, now: datetime
) -> tuple[list[Stretch], Stretch | None]:
    """Reads the stretches that may not be given out yet, and the oldest that may, as ``find_free`` does.

    Those that may not are leased, or are to be tried again later. They are few, since nothing is given to a consumer
    that has as many of them as it may have leases. The free ones may be many.
    """
    found = list(starmap(_stretch, connection.execute(_unavailable_and_free, {"consumer": consumer.id, "now": now})))
    unavailable = [stretch for stretch in found if stretch.free_at > now]
    return unavailable, next((stretch for stretch in found if stretch.free_at <= now), None)


def find_free(connection: Connection, consumer: Consumer, now: datetime) -> Stretch | None:
    """Reads the oldest stretch that may be given out again."""
    row = connection.execute(_free, {"consumer": consumer.id, "now": now}).one_or_none()
    return None if row is None else _stretch(*row)


def find_lease(connection: Connection, consumer: Consumer, token: str) -> Stretch | None:
    """Reads the stretch of a lease, even of an expired one, as long as it was not given out again."""
    row = connection.execute(_leased, {"consumer": consumer.id, "token": token}).one_or_none()
    return None if row is None else _stretch(*row)


def insert_stretches(transaction: Transaction, consumer: Consumer, stretches: Sequence[Stretch]) -> None:
    """Stores stretches as new rows; the ids that they have are ignored."""
    if stretches:
        transaction.execute(_insert, [_columns(consumer, stretch) for stretch in stretches])


def change_stretch(transaction: Transaction, consumer: Consumer, stretch: Stretch) -> None:
    """Stores the changed values of a stretch."""
    transaction.execute(_change, {"stretch": stretch.id, **_columns(consumer, stretch)})


def delete_stretch(transaction: Transaction, stretch: Stretch) -> None:
    """Deletes a stretch of which there is nothing left to give."""
    transaction.execute(_delete, {"stretch": stretch.id})


def delete_lease(transaction: Transaction, consumer: Consumer, token: str) -> bool:
    """Deletes the stretch of a lease, even of an expired one; False when it has ended or was given out again."""
    return transaction.execute(_delete_leased, {"consumer": consumer.id, "token": token}).rowcount > 0


def delete_stretches(transaction: Transaction, consumer: Consumer) -> None:
    """Deletes all stretches of a consumer."""
    transaction.execute(_delete_all, {"consumer": consumer.id})


def count_leases(connection: Connection, consumer: Consumer, now: datetime) -> int:
    """Counts the leases of a consumer that have not expired."""
    leased = [StretchRow.consumer_id == consumer.id, StretchRow.free_at > now, StretchRow.token.is_not(None)]
    return connection.scalars(select(func.count()).select_from(StretchRow).where(*leased)).one()


def _stretch(*values: Any) -> Stretch:
    *others, done = values
    return Stretch(*[*others, done or ()])


def _columns(consumer: Consumer, stretch: Stretch) -> dict[str, object]:
    return {
        "consumer_id": consumer.id,
        "after": stretch.after,
        "last": stretch.last,
        "attempt": stretch.attempt,
        "token": stretch.token,
        "given_at": stretch.given_at,
        "free_at": stretch.free_at,
        "reason": stretch.reason,
        "done": list(stretch.done) or None,
    }
