"""Connections to PostgreSQL that wait for no server that has stopped to answer.

A server may stop answering while the kernel goes on acknowledging what is sent to it, and then no timeout of its own
or of TCP ever comes. So whoever waits for longer than a while asks it on another connection whether it is there.
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
PING_PATIENCE = 2.0  # for a connection to show that its server answers, which is not asked about
READ_PATIENCE = 3.0
WRITE_PATIENCE = 1.5
SILENCE = 1.0  # for which a server that gave no answer is not asked anything
MARGIN = 0.5  # from the moment at which the server itself should have ended a statement


class Patience:
    """What the connections to a server know of each other: since when it gives no answer."""

    def __init__(self) -> None:
        self._silent_until = 0.0

    def give_up(self) -> None:
        """Notes that the server gave no answer."""
        self._silent_until = monotonic() + SILENCE

    def is_lost(self) -> bool:
        """Tells whether the server gave no answer just now, so that nobody waits for it again at once."""
        return monotonic() < self._silent_until


class PatientConnection(psycopg.Connection[Any]):
    """Closes itself when its server does not answer: libpq itself would wait for a frozen one for ever.

    A commit that a synchronous replica has not confirmed is no commit to it either: where somebody cancels the wait for
    the replica, PostgreSQL reports success, with a warning.
    https://www.postgresql.org/docs/current/warm-standby.html#SYNCHRONOUS-REPLICATION
    """

    patience: Patience
    is_reader: bool
    is_pooled: bool
    timeout: float  # seconds in which the server itself ends a statement
    parameters: Parameters
    warned = False

    def wait(self, gen: PQGen[RV], interval: float = 0.1, timeout: float | None = None) -> RV:
        """Waits for what a generator of psycopg does on the connection."""
        if self.patience.is_lost():
            self._give_up()
        result = super().wait(self._asking(gen), interval, timeout)
        if self.warned:
            self._end("the server warned that it did not do all that was asked")
        return result

    def watch_warnings(self) -> None:
        """Has a warning of the server end the connection, and with it whatever caused it."""

        def note(diagnostic: psycopg.errors.Diagnostic) -> None:
            self.warned = self.warned or diagnostic.severity_nonlocalized == "WARNING"

        self.add_notice_handler(note)

    def _asking(self, gen: PQGen[RV]) -> PQGen[RV]:
        patience = READ_PATIENCE if self.is_reader else WRITE_PATIENCE
        began = monotonic()
        limit = began + self.timeout + MARGIN
        if self.is_reader and self.autocommit:
            # SQLAlchemy pings readers in autocommit mode, and they do all else in transactions.
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
                        self._end("the server does not answer")  # it is there, but this connection to it is dead
                    deadline = min(monotonic() + patience, limit)
        except StopIteration as done:
            result: RV = done.value
            return result

    def _give_up(self) -> NoReturn:
        self.patience.give_up()
        self._end("the server does not answer")

    def _end(self, reason: str) -> NoReturn:
        self.close()
        raise psycopg.OperationalError(reason)


class Connector:
    """Makes the connections of one engine, with the parameters that SQLAlchemy hands to it."""

    def __init__(self, server: str, patience: Patience, *, is_reader: bool, timeout: float) -> None:
        self._server = server
        self._patience = patience
        self._is_reader = is_reader
        self._timeout = timeout
        self._outage = Outage()
        self._hosts = Hosts()

    def __call__(
        self, _dialect: Dialect, _entry: ConnectionPoolEntry, _arguments: tuple[Any, ...], parameters: dict[str, Any]
    ) -> PatientConnection:
        """Connects; StorageUnavailable, at once while an attempt that failed is a moment ago."""
        with self._outage.attempt(), translated_errors(self._server):
            if self._patience.is_lost():
                raise psycopg.OperationalError("the server does not answer")
            connection = PatientConnection.connect(**self._hosts.in_order(parameters))
            self._hosts.remember(connection)
            connection.patience, connection.is_reader = self._patience, self._is_reader
            connection.timeout, connection.parameters = self._timeout, only_host_of(connection, parameters)
            connection.is_pooled = _is_behind_pooler(connection)
        if connection.is_pooled:
            connection.prepare_threshold = None  # the next transaction may run in another of the pooler's sessions
        if not self._is_reader:
            connection.watch_warnings()
        return connection


def _answers(parameters: Parameters) -> bool:
    """Tells whether a server says anything to a new connection, if only that it takes none."""
    try:
        psycopg.connect(**parameters).close()
    except psycopg.errors.ConnectionTimeout:
        return False
    except psycopg.OperationalError:
        return True
    return True


def is_pooled(connection: PoolProxiedConnection) -> bool:
    """Tells whether a pooler such as PgBouncer runs each transaction of a connection in whatever session is free."""
    driver = connection.driver_connection
    return isinstance(driver, PatientConnection) and driver.is_pooled


def _is_behind_pooler(connection: PatientConnection) -> bool:
    """Tells whether a new connection is to a pooler: the process that this names is not the one of the session."""
    row = connection.execute("SELECT pg_backend_pid()").fetchone()
    connection.rollback()
    return row is None or row[0] != connection.info.backend_pid
