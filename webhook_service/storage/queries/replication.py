"""Synchronous replicas: an answer of 200 waits for them, and a warning says when there is none."""

from sqlalchemy import func, select

from webhook_service.storage.database import Database
from webhook_service.storage.writing import Executor

NO_SYNC_REPLICA = (
    "no replica is synchronous: synchronous_standby_names is empty, so a failover may lose acknowledged messages"
)

# This puts an empty record into the write-ahead log, so that the commit has something to wait for. Any role may do so.
# https://www.postgresql.org/docs/current/functions-admin.html#FUNCTIONS-REPLICATION
_AWAIT = """
    SELECT pg_logical_emit_message(true, 'webhook_service', '') WHERE current_setting('synchronous_standby_names') <> ''
"""


def await_replicas(executor: Executor) -> None:
    """Makes the commit wait for the synchronous replicas, if there are any, even though nothing was written.

    A message may be stored on the primary alone: if the server is killed while a commit waits for the replica, the
    message is there after the restart. When it is delivered again, nothing is written, so that commit would not wait,
    and the delivery would be answered 200 for a message that a failover loses.
    """
    if executor.dialect.name == "postgresql":
        executor.exec_driver_sql(_AWAIT, ())


def replication_warnings(database: Database) -> list[str]:
    """Lists a warning if commits wait for no replica although one is required. Raises StorageUnavailable."""
    if not database.require_sync_replica:
        return []
    with database.primary_snapshot() as snapshot:
        names = snapshot.scalar(select(func.current_setting("synchronous_standby_names")))
    return [] if names else [NO_SYNC_REPLICA]
