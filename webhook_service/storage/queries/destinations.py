"""The table of destinations: the health of each. Its place is in the consumer's row."""

from collections.abc import Mapping
from dataclasses import asdict, fields
from typing import Any

from sqlalchemy import Connection, Select, bindparam, insert, select, update

from webhook_service.domain.destinations import DestinationHealth, DestinationState, Failure
from webhook_service.storage.consumer_models import ConsumerRow
from webhook_service.storage.destination_models import DestinationRow
from webhook_service.storage.writing import Transaction

_FIELDS = tuple(field.name for field in fields(DestinationHealth))
_all_health: Select[Any] = select(
    ConsumerRow.name, *(DestinationRow.__table__.columns[name] for name in _FIELDS)
).join_from(DestinationRow, ConsumerRow)
# These statements are made once: SQLAlchemy takes longer to make one than SQLite takes to execute it.
_health_of_one = _all_health.where(DestinationRow.consumer_id == bindparam("consumer"))
_change = update(DestinationRow).where(DestinationRow.consumer_id == bindparam("consumer"))


def read_all_health(connection: Connection) -> dict[str, DestinationHealth]:
    """Reads the health of each destination that was pushed to, by name."""
    return {name: _health(values) for name, *values in connection.execute(_all_health)}


def read_health(connection: Connection, consumer_id: int) -> DestinationHealth:
    """Reads the health of a destination; one that was never pushed to is active."""
    row = connection.execute(_health_of_one, {"consumer": consumer_id}).one_or_none()
    return DestinationHealth() if row is None else _health(row[1:])


def save_health(transaction: Transaction, consumer_id: int, health: DestinationHealth) -> None:
    """Stores the health of a destination; the caller has to hold the lock on the consumer's row."""
    values = asdict(health)
    if not transaction.execute(_change, {"consumer": consumer_id, **values}).rowcount:
        transaction.execute(insert(DestinationRow).values(consumer_id=consumer_id, **values))


def _health(values: Any) -> DestinationHealth:
    named: Mapping[str, Any] = dict(zip(_FIELDS, values, strict=True))
    failure = named["last_failure"]
    return DestinationHealth(
        **{
            **named,
            "state": DestinationState(named["state"]),
            "last_failure": None if failure is None else Failure(failure),
        }
    )
