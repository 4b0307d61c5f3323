"""Connections to PostgreSQL that don't wait forever for a server that has stopped answering.

A server may stop answering while its kernel goes on acknowledging what is sent to it; then no timeout of its own or of
TCP ever fires. So a connection that has waited for a while asks the server on another connection whether it is there.
"""

from time import monotonic
from typing import Any, NoReturn

import psycopg
from psycopg.abc import RV, PQGen
from sqlalchemy.engine import Dialect
from sqlalchemy.pool import ConnectionPoolEntry, PoolProxiedConnection

from webhook_service.storage.errors import translated_errors
from webhook_service.storage.hosts import Hosts, Parameters, only_host_of
from webhook_service.storage.outage import Outage

# In seconds.
PING_PATIENCE = 2.0  # for the answer to a ping of a connection, after which no other connection asks
READ_PATIENCE = 3.0
WRITE_PATIENCE = 1.5
SILENCE = 1.0  # for which a server that gave no answer is asked nothing more
MARGIN = 0.5  # after the moment at which the server itself should have ended a statement


class ServerSilence:
    """The knowledge that all connections to a server share: until when the server counts as silent."""

    def __init__(self) -> None:
        self._silent_until = 0.0

    def note(self) -> None:
        """Notes that the server gave no answer."""
        self._silent_until = monotonic() + SILENCE

    def is_silent(self) -> bool:
        """Tells whether the server gave no answer just now, in which case nobody waits for it again so soon."""
        return monotonic() < self._silent_until


class PatientConnection(psycopg.Connection[Any]):
    """A connection that closes itself when its server does not answer: libpq would wait for a frozen server forever.

    It also takes a commit that a synchronous replica has not confirmed for a failure: when somebody cancels the wait
    for the replica, PostgreSQL reports success, but with a warning.
    https://www.postgresql.org/docs/current/warm-standby.html#SYNCHRONOUS-REPLICATION
    """

    patience: ServerSilence
    is_reader: bool
    is_pooled: bool
    timeout: float  # seconds in which the server itself ends a statement
    parameters: Parameters
    warned = False

    def wait(self, gen: PQGen[RV], interval: float = 0.1, timeout: float | None = None) -> RV:
        """Waits for a generator of psycopg to finish its work on the connection."""
        if self.patience.is_silent():
            self._give_up()
        result = super().wait(self._asking(gen), interval, timeout)
        if self.warned:
            self._end("the server warned that it did not do all that was asked")
        return result

    def watch_warnings(self) -> None:
        """Makes a warning of the server end the connection, so that whatever caused the warning fails."""

        def note(diagnostic: psycopg.errors.Diagnostic) -> None:
            self.warned = self.warned or diagnostic.severity_nonlocalized == "WARNING"

        self.add_notice_handler(note)

    def _asking(self, gen: PQGen[RV]) -> PQGen[RV]:
        patience = READ_PATIENCE if self.is_reader else WRITE_PATIENCE
        began = monotonic()
        limit = began + self.timeout + MARGIN
        if self.is_reader and self.autocommit:
            # This is a ping: SQLAlchemy pings in autocommit mode, and readers do everything else in transactions.
            patience = PING_PATIENCE
            limit = began + patience
        deadline = began + patience
        try:
            wanted = next(gen)
            while True:
                ready = yield wanted
                wanted = gen.send(ready)
                if monotonic() > deadline:
                    if not _answers(self.parameters):
                        self._give_up()
                    if monotonic() > limit:
                        self._end("the server does not answer")  # the server answers, but this connection is dead
                    deadline = min(monotonic() + patience, limit)
        except StopIteration as done:
            result: RV = done.value
            return result

    def _give_up(self) -> NoReturn:
        self.patience.note()
        self._end("the server does not answer")

    def _end(self, reason: str) -> NoReturn:
        self.close()
        raise psycopg.OperationalError(reason)


class Connector:
    """Makes the connections of one engine, with the parameters that SQLAlchemy passes."""

    def __init__(self, server: str, patience: ServerSilence, *, is_reader: bool, timeout: float) -> None:
        self._server = server
        self._patience = patience
        self._is_reader = is_reader
        self._timeout = timeout
        self._outage = Outage()
        self._hosts = Hosts()

    def __call__(
        self, _dialect: Dialect, _entry: ConnectionPoolEntry, _arguments: tuple[Any, ...], parameters: dict[str, Any]
    ) -> PatientConnection:
        """Connects. Raises StorageUnavailable, at once if an attempt has failed just before."""
        with self._outage.attempt(), translated_errors(self._server):
            if self._patience.is_silent():
                raise psycopg.OperationalError("the server does not answer")
            connection = PatientConnection.connect(**self._hosts.in_order(parameters))
            self._hosts.remember(connection)
            connection.patience, connection.is_reader = self._patience, self._is_reader
            connection.timeout, connection.parameters = self._timeout, only_host_of(connection, parameters)
            connection.is_pooled = _is_behind_pooler(connection)
        if connection.is_pooled:
            connection.prepare_threshold = None  # the pooler may run the next transaction in another session
        if not self._is_reader:
            connection.watch_warnings()
        return connection


def _answers(parameters: Parameters) -> bool:
    """Tells whether a server answers a new connection in any way, if only by refusing it."""
    try:
        psycopg.connect(**parameters).close()
    except psycopg.errors.ConnectionTimeout:
        return False
    except psycopg.OperationalError:
        return True
    return True


def is_pooled(connection: PoolProxiedConnection) -> bool:
    """Tells whether a connection is to a pooler, such as PgBouncer, which may change sessions with each transaction."""
    driver = connection.driver_connection
    return isinstance(driver, PatientConnection) and driver.is_pooled


def _is_behind_pooler(connection: PatientConnection) -> bool:
    """Tells whether a new connection is to a pooler: then the process that it names is not that of the session."""
    row = connection.execute("SELECT pg_backend_pid()").fetchone()
    connection.rollback()
    return row is None or row[0] != connection.info.backend_pid
