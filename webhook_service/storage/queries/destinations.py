"""The table of destinations: the standing of each. Its place is in the consumer's row."""

from collections.abc import Mapping
from dataclasses import asdict, fields
from typing import Any

from sqlalchemy import Connection, Select, insert, select, update

from webhook_service.domain.destinations import DestinationState, Failure, Standing
from webhook_service.storage.consumer_models import ConsumerRow
from webhook_service.storage.destination_models import DestinationRow
from webhook_service.storage.writing import Transaction

_FIELDS = tuple(field.name for field in fields(Standing))
_standings: Select[Any] = select(
    ConsumerRow.name, *(DestinationRow.__table__.columns[name] for name in _FIELDS)
).join_from(DestinationRow, ConsumerRow)


def read_standings(connection: Connection) -> dict[str, Standing]:
    """Reads the standing of each destination that was pushed to, by name."""
    return {name: _standing(values) for name, *values in connection.execute(_standings)}


def read_standing(connection: Connection, consumer_id: int) -> Standing:
    """Reads the standing of a destination; one that was never pushed to is active."""
    row = connection.execute(_standings.where(DestinationRow.consumer_id == consumer_id)).one_or_none()
    return Standing() if row is None else _standing(row[1:])


def save_standing(transaction: Transaction, consumer_id: int, standing: Standing) -> None:
    """Stores the standing of a destination; the caller has to hold the lock on the consumer's row."""
    values = asdict(standing)
    changed = update(DestinationRow).where(DestinationRow.consumer_id == consumer_id).values(values)
    if not transaction.execute(changed).rowcount:
        transaction.execute(insert(DestinationRow).values(consumer_id=consumer_id, **values))


def _standing(values: Any) -> Standing:
    named: Mapping[str, Any] = dict(zip(_FIELDS, values, strict=True))
    failure = named["last_failure"]
    return Standing(
        **{
            **named,
            "state": DestinationState(named["state"]),
            "last_failure": None if failure is None else Failure(failure),
        }
    )
