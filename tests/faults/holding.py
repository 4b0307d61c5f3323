"""A program that begins a transaction, inserts a message, and keeps its turn until its input ends.

Its arguments are the URL of the database and the message's ID; it writes ``held`` once it is inside.
"""

import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager

from tests.support.messages import message
from tests.support.processes import ROOT
from webhook_service.configuration.database_url import parse_url
from webhook_service.storage.database import Database
from webhook_service.storage.queries.messages import encode_message, insert_messages


@contextmanager
def held_turn(url: str, message_id: str) -> Iterator[subprocess.Popen[bytes]]:
    """This program as a process that is inside its transaction; killed, if it still runs, when the block is left."""
    command = [sys.executable, "-m", "tests.faults.holding", url, message_id]
    with subprocess.Popen(command, cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        try:
            assert process.stdout.readline() == b"held\n"
            yield process
        finally:
            process.kill()


def main() -> None:
    """Holds the turn."""
    database = Database(parse_url(sys.argv[1]), pool_size=1)
    with database.transaction() as transaction:
        insert_messages(transaction, [encode_message(message(sys.argv[2]))])
        print("held", flush=True)  # what the starter waits for
        sys.stdin.read()


if __name__ == "__main__":
    main()
