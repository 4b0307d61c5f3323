"""What synchronous replicas have to do with an answer of 200."""

from sqlalchemy import func, select

from webhook_service.storage.database import Database
from webhook_service.storage.writing import Executor

NO_SYNC_REPLICA = (
    "no replica is synchronous: synchronous_standby_names is empty, so a failover may lose acknowledged messages"
)

# It puts an empty record into the write-ahead log, so that the commit has something to wait for. Any role may do that.
# https://www.postgresql.org/docs/current/functions-admin.html#FUNCTIONS-REPLICATION
_AWAIT = """
    SELECT pg_logical_emit_message(true, 'webhook_service', '') WHERE current_setting('synchronous_standby_names') <> ''
"""


def await_replicas(executor: Executor) -> None:
    """Makes the commit wait for the synchronous replicas, where there are any, though nothing was written.

    A message may be stored on the primary alone: a commit that waited for the replica in vain, since the server was
    killed meanwhile, is there after the restart. A repetition of that message writes nothing, so its commit would wait
    for nobody, and be answered 200 for what a failover loses.
    """
    if executor.dialect.name == "postgresql":
        executor.exec_driver_sql(_AWAIT, ())


def replication_warnings(database: Database) -> list[str]:
    """Says that commits wait for no replica, where one is required. Raises StorageUnavailable."""
    if not database.require_sync_replica:
        return []
    with database.primary_snapshot() as snapshot:
        names = snapshot.scalar(select(func.current_setting("synchronous_standby_names")))
    return [] if names else [NO_SYNC_REPLICA]
