"""A connection to PostgreSQL that is dead although its server lives, as behind a proxy that has lost its other end."""

import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress

import pytest
from sqlalchemy import make_url, text

from tests.support.messages import message
from tests.support.stored import accept, stored_ids
from webhook_service.configuration.database_url import parse_url
from webhook_service.domain.deliveries import Contents
from webhook_service.domain.errors import StorageUnavailable
from webhook_service.storage.database import Database


class Proxy:
    """Forwards connections to a server, and swallows what comes on those that were forgotten."""

    def __init__(self, url: str) -> None:
        parsed = make_url(url)
        folder = parsed.query.get("host")
        port = parsed.port or 5432
        self._target = f"{folder}/.s.PGSQL.{port}" if folder else (parsed.host, port)
        self._listener = socket.create_server(("127.0.0.1", 0))
        self._sockets: list[socket.socket] = []
        self._forgotten: set[socket.socket] = set()
        self.url = parsed.set(host="127.0.0.1", port=self._listener.getsockname()[1])
        self.url = self.url.difference_update_query(["host"]).update_query_dict({"sslmode": "disable"})
        threading.Thread(target=self._accept, daemon=True).start()

    def forget_all(self) -> None:
        """Swallows whatever comes on the connections that are open."""
        self._forgotten |= set(self._sockets)

    def close(self) -> None:
        """Ends it."""
        for each in (self._listener, *self._sockets):
            with suppress(OSError):
                each.shutdown(socket.SHUT_RDWR)
            each.close()

    def _accept(self) -> None:
        with suppress(OSError):
            while True:
                ours, _ = self._listener.accept()
                kind = socket.AF_UNIX if isinstance(self._target, str) else socket.AF_INET
                theirs = socket.socket(kind)
                theirs.connect(self._target)
                self._sockets += [ours, theirs]
                for source, sink in ((ours, theirs), (theirs, ours)):
                    threading.Thread(target=self._pump, args=(source, sink), daemon=True).start()

    def _pump(self, source: socket.socket, sink: socket.socket) -> None:
        with suppress(OSError):
            while data := source.recv(65536):
                if source not in self._forgotten:
                    sink.sendall(data)
        with suppress(OSError):
            sink.shutdown(socket.SHUT_RDWR)


@contextmanager
def behind_proxy(url: str) -> Iterator[tuple[Database, Proxy]]:
    proxy = Proxy(url)
    database = Database(parse_url(proxy.url.render_as_string(hide_password=False)), pool_size=2)
    try:
        yield database, proxy
    finally:
        database.close()
        proxy.close()


def write(database: Database) -> None:
    with database.transaction() as transaction:
        transaction.execute(text("SELECT 1"))


def test_a_dead_connection_of_the_writer_is_given_up_and_the_next_one_writes(postgresql_url: str) -> None:
    with behind_proxy(postgresql_url) as (database, proxy):
        write(database)
        proxy.forget_all()
        begun = time.monotonic()

        with pytest.raises(StorageUnavailable):
            write(database)
        waited = time.monotonic() - begun
        write(database)

    assert waited < 15


def test_a_delivery_on_a_dead_connection_is_stored_on_the_next_one(
    postgresql_url: str, caplog: pytest.LogCaptureFixture
) -> None:
    with behind_proxy(postgresql_url) as (database, proxy):
        accept(database, Contents(messages=(message("m1"),)))
        proxy.forget_all()

        with pytest.raises(StorageUnavailable):
            accept(database, Contents(messages=(message("m2"),)))
        accept(database, Contents(messages=(message("m2"),)))

    assert stored_ids(postgresql_url) == ["m1", "m2"]
    assert caplog.messages == []  # the pool was told, and had nothing to find out by itself


def test_a_dead_connection_of_a_reader_costs_the_writer_nothing(postgresql_url: str) -> None:
    with behind_proxy(postgresql_url) as (database, proxy):
        with database.snapshot() as snapshot:
            snapshot.execute(text("SELECT 1"))
        proxy.forget_all()
        write(database)
        failures = []

        def read() -> None:
            with suppress(StorageUnavailable), database.snapshot() as snapshot:
                snapshot.execute(text("SELECT 1"))

        reading = threading.Thread(target=read)
        reading.start()
        while reading.is_alive():
            try:
                write(database)
            except StorageUnavailable as unavailable:
                failures.append(unavailable)

    assert failures == []
