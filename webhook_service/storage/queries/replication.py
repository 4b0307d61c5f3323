"""What synchronous replicas have to do with an answer of 200."""

from webhook_service.storage.writing import Executor

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
