"""The clock of leases: that of the database, where nodes share one."""

from datetime import UTC, datetime

from sqlalchemy import Connection, func, select

from webhook_service.storage.models import UtcDateTime

# It is made once: SQLAlchemy takes longer to make it than PostgreSQL takes to answer.
_now = select(func.clock_timestamp(type_=UtcDateTime))


def read_now(connection: Connection) -> datetime:
    """Reads the time that leases go by: that of the PostgreSQL server, which all nodes share, or of this machine."""
    if connection.dialect.name == "postgresql":
        return connection.scalars(_now).one()
    return datetime.now(UTC)
