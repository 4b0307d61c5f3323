"""Access to the database: transactions, snapshots and the turn to write."""

import os
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from threading import Lock
from time import monotonic
from typing import Protocol
from weakref import WeakMethod

from sqlalchemy import URL, Connection, literal, select

from webhook_service.domain.errors import StorageBusy, StorageUnavailable
from webhook_service.domain.limits import QUARANTINE_MAX_BYTES
from webhook_service.domain.statistics import Age, Space
from webhook_service.storage.changes import Changes
from webhook_service.storage.errors import BUSY, translated_errors
from webhook_service.storage.postgresql import PostgresqlBackend, Replica
from webhook_service.storage.sqlite import SqliteBackend
from webhook_service.storage.writing import Transaction, Turn

PATIENCE = 5.0  # seconds that a request waits for the turn to write, so that none keeps its thread for good


class Backend(Protocol):
    """The connections to one kind of database."""

    def turn_to_write(self, patience: float | None) -> AbstractContextManager[Turn]:
        """Gives the turn to write.

        On SQLite this waits for the turn, for at most ``patience`` seconds if that is given, and raises StorageBusy
        after that. On PostgreSQL the turn is taken by the statement or transaction itself, on the server, and a timeout
        there is StorageUnavailable.
        """

    def transaction_without_turn(self) -> AbstractContextManager[Transaction] | None:
        """Opens a transaction without a turn to write, where that is possible; None on SQLite."""

    def changes(self) -> Changes:
        """Opens a connection that notices what is stored."""

    def reading(self, *, unlimited: bool) -> AbstractContextManager[Connection]:
        """Gives a connection that can only read; ``unlimited`` lifts the limit on how long a statement takes."""

    def problem(self) -> str | None:
        """Says what keeps the next message from being stored; None when nothing does."""

    def space(self) -> Space:
        """Measures the database and what is left on its disk."""

    def close(self) -> None:
        """Closes every connection."""

    def forget(self) -> None:
        """Drops what a forked child inherited, without closing the parent's connections."""


class Database:
    """The database: ``transaction()`` writes, ``snapshot()`` reads, and ``turn_to_write()`` gives the turn to write.

    ``quarantine_max_bytes`` is how many bytes the deliveries of one source may take in quarantine. With
    ``require_sync_replica`` there is a warning if commits wait for no synchronous replica.

    With a ``read_url``, that of a PostgreSQL replica, ``snapshot()`` reads there, and all else stays on the primary.

    Nothing connects before the first use, and a forked child starts with connections and locks of its own. On SQLite
    a child must be forked before that first use: afterwards all it gets is StorageUnavailable.
    """

    def __init__(
        self,
        url: URL,
        *,
        pool_size: int,
        read_url: URL | None = None,
        quarantine_max_bytes: int = QUARANTINE_MAX_BYTES,
        require_sync_replica: bool = False,
    ) -> None:
        self.quarantine_max_bytes = quarantine_max_bytes
        self.require_sync_replica = require_sync_replica
        make = SqliteBackend if url.drivername == "sqlite" else PostgresqlBackend
        self._backend: Backend = make(url, pool_size=pool_size)
        self._replica = Replica(read_url, pool_size=pool_size) if read_url else None
        self._one_thread = Lock()
        forget_parent = WeakMethod(self._forget_parent)
        os.register_at_fork(after_in_child=lambda: (method := forget_parent()) and method())

    @contextmanager
    def turn_to_write(self, patience: float | None = None) -> Iterator[Turn]:
        """Takes the turn to write, which one thread of one process has at a time.

        Raises StorageBusy when the turn is not to be had within ``patience`` seconds, StorageUnavailable when what is
        written can't be committed, and RowRefused when a row is to blame.
        """
        deadline = None if patience is None else monotonic() + patience
        if not self._one_thread.acquire(timeout=-1 if patience is None else patience):
            raise StorageBusy(BUSY)
        try:
            left = None if deadline is None else max(0.0, deadline - monotonic())
            with translated_errors(), self._backend.turn_to_write(left) as turn:
                yield turn
        finally:
            self._one_thread.release()

    @contextmanager
    def transaction(self, patience: float | None = None) -> Iterator[Transaction]:
        """Opens a transaction in the turn to write; it is on disk after the block. Raises as ``turn_to_write``."""
        with self.turn_to_write(patience) as turn, turn.transaction() as transaction:
            yield transaction

    @contextmanager
    def transaction_without_turn(self, patience: float = PATIENCE) -> Iterator[Transaction]:
        """Opens a transaction that may store and delete no message; it is on disk when the block ends.

        On PostgreSQL it needs no turn to write: it locks the rows that it changes. On SQLite it is a ``transaction``,
        which waits and raises accordingly.
        """
        without_turn = self._backend.transaction_without_turn()
        with translated_errors(), without_turn or self.transaction(patience) as transaction:
            yield transaction

    @contextmanager
    def savepoint(self, transaction: Transaction) -> Iterator[None]:
        """Opens a part of a transaction that can be undone by itself; RowRefused when a row in it is to blame."""
        with translated_errors(), transaction.begin_nested():
            yield

    @contextmanager
    def changes(self) -> Iterator[Changes]:
        """Gives what notices, from now on, that the primary stores something; StorageUnavailable when it can't."""
        with translated_errors():
            changes = self._backend.changes()
            try:
                yield changes
            finally:
                changes.close()

    def snapshot(self) -> AbstractContextManager[Connection]:
        """Gives a connection whose statements can only read; StorageUnavailable when there is none to be had.

        Where there is a replica, the connection is to the replica, and what was just written may not be there yet.
        """
        return self._replica.reading() if self._replica else self.primary_snapshot()

    def primary_snapshot(self) -> AbstractContextManager[Connection]:
        """Gives a connection that reads all that is written, for reads that decide about a write."""
        return self._reading(unlimited=False)

    def long_snapshot(self) -> AbstractContextManager[Connection]:
        """Gives a primary snapshot without a time limit, for work such as reading the whole store."""
        return self._reading(unlimited=True)

    def read_age(self, snapshot: Connection) -> Age | None:
        """Returns the most that a snapshot may lag behind, if this is its first read; None when there is no replica."""
        return self._replica.read_age(snapshot) if self._replica else None

    def problems(self) -> list[str]:
        """Lists what keeps the next message from being stored or read back; empty when nothing does."""
        try:
            with self.primary_snapshot() as connection:
                connection.execute(select(literal(1)))
            with translated_errors():
                problem = self._backend.problem()
        except StorageUnavailable as unavailable:
            return [unavailable.detail]
        return [problem] if problem else []

    def read_space(self) -> Space:
        """Measures the database and what is left on its disk; StorageUnavailable when the database is away."""
        with translated_errors():
            return self._backend.space()

    def close(self) -> None:
        """Closes every connection."""
        self._backend.close()
        if self._replica:
            self._replica.close()

    def _forget_parent(self) -> None:
        self._one_thread = Lock()
        self._backend.forget()
        if self._replica:
            self._replica.forget()

    @contextmanager
    def _reading(self, *, unlimited: bool) -> Iterator[Connection]:
        with translated_errors(), self._backend.reading(unlimited=unlimited) as connection:
            yield connection
