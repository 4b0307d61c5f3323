"""No room to write: deliveries wait outside, reads go on, and room is all that it takes to recover."""

import subprocess
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest
from sqlalchemy import event
from sqlalchemy.engine.interfaces import DBAPIConnection
from sqlalchemy.pool import ConnectionPoolEntry, Pool

from tests.support.app import application, deliver
from tests.support.deliveries import payload
from tests.support.server import Server
from tests.support.stored import is_intact, stored_ids
from webhook_service.configuration.database_url import parse_url
from webhook_service.storage.migrate import migrate
from webhook_service.storage.sqlite import ROOM_TO_WRITE

ROOM = 20 * 2**20
LONG_TEXT = "x" * 4096

assert ROOM > ROOM_TO_WRITE


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of ROOM bytes."""
    folder = tmp_path / "disk"
    folder.mkdir()
    command = ["mount", "-t", "tmpfs", "-o", f"size={ROOM}", "tmpfs", str(folder)]
    if subprocess.run(command, capture_output=True, check=False).returncode:
        pytest.skip("file systems can't be mounted here")
    yield folder
    subprocess.run(["umount", "--lazy", folder], check=True)


def fill(folder: Path) -> Path:
    """A file that takes all the room there is."""
    filler = folder / "filler"
    with suppress(OSError), filler.open("wb", buffering=0) as file:
        while True:
            file.write(bytes(4096))
    return filler


def test_a_full_disk_costs_503_until_there_is_room_again(small_disk: Path) -> None:
    url = f"sqlite:///{small_disk / 'app.db'}"
    migrate(parse_url(url))

    with Server(url) as server:
        before = payload()
        answers = [server.deliver(before)]
        ready = [server.get("/health/ready")]
        filler = fill(small_disk)
        # What the write-ahead log has already taken of the disk can still be written.
        while (refused := server.deliver(payload(text=LONG_TEXT))).status == 200:
            pass
        read = [server.get(f"/messages/{before['message_id']}"), server.get("/stats"), server.get("/metrics")]
        ready.append(server.get("/health/ready"))
        filler.unlink()
        after = payload()
        answers.append(server.deliver(after))
        ready.append(server.get("/health/ready"))

    assert [answer.status for answer in answers] == [200, 200]
    assert (refused.status, refused.json()) == (503, {"detail": "no room to write"})
    assert refused.headers["Retry-After"].isdecimal()
    assert [answer.status for answer in read] == [200, 200, 200]
    assert [answer.status for answer in ready] == [200, 503, 200]
    assert ready[1].json() == {"detail": "no room to write"}
    assert {before["message_id"], after["message_id"]} <= set(stored_ids(url))
    assert is_intact(url)


def test_a_database_at_its_page_limit_costs_503_until_the_limit_is_raised(sqlite_url: str) -> None:
    connections: list[DBAPIConnection] = []

    def limit(connection: DBAPIConnection, _entry: ConnectionPoolEntry) -> None:
        connections.append(connection)
        set_limit(1)  # the least, which SQLite raises to what the file has

    def set_limit(pages: int) -> None:
        for connection in connections:
            cursor = connection.cursor()
            cursor.execute(f"PRAGMA max_page_count = {pages}")
            cursor.close()

    event.listen(Pool, "connect", limit)
    try:
        with application(sqlite_url) as client:
            while (refused := deliver(client, payload(text=LONG_TEXT))).status_code == 200:
                pass
            read = client.get("/messages")
            set_limit(2**30)
            answer = deliver(client, payload())
    finally:
        event.remove(Pool, "connect", limit)

    assert (refused.status_code, refused.get_json()) == (503, {"detail": "no room to write"})
    assert refused.headers["Retry-After"].isdecimal()
    assert read.status_code == 200
    assert answer.status_code == 200
