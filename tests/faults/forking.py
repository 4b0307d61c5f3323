"""A program that forks, as a preloading server does, uses the database in both copies, and writes what the child got.

Its arguments are the URL of a database and when it forks: ``unused``, or ``inside`` a transaction of the parent.
"""

import os
import select
import sys
from collections.abc import Iterator
from contextlib import contextmanager

from tests.support.messages import message
from tests.support.stored import accept
from webhook_service.configuration.database_url import parse_url
from webhook_service.domain.deliveries import Contents
from webhook_service.domain.errors import StorageUnavailable
from webhook_service.storage.database import Database
from webhook_service.storage.queries.messages import encode_message, insert_messages

A_WHILE = 0.3  # seconds in which a child that shares its parent's turn gets on


class Child:
    """A fork of this process that stores a message; ``hear`` gives what became of that."""

    def __init__(self, database: Database) -> None:
        self._heard, told = os.pipe()
        self._pid = os.fork()
        if self._pid == 0:
            try:
                os.write(told, store(database, "child").encode())
            finally:  # else the copy of the parent's stack would go on with the parent's work
                os._exit(0)
        os.close(told)

    def waits(self) -> bool:
        """Tells whether the message has had no result for a while."""
        return not select.select([self._heard], [], [], A_WHILE)[0]

    def hear(self) -> str:
        """Returns the result for the message, once the child has ended."""
        os.waitpid(self._pid, 0)
        return os.read(self._heard, 1000).decode()


def store(database: Database, message_id: str) -> str:
    """Stores a message and says what became of it."""
    try:
        return accept(database, Contents(messages=(message(message_id),))).messages[0].value
    except StorageUnavailable as unavailable:
        return unavailable.detail


@contextmanager
def turn(database: Database) -> Iterator[None]:
    """A transaction of the parent that stores a message."""
    with database.transaction() as transaction:
        insert_messages(transaction, [encode_message(message("parent"))])
        yield


def main() -> None:
    """Forks when it is told to."""
    database = Database(parse_url(sys.argv[1]), pool_size=2)
    if sys.argv[2] == "unused":
        child = Child(database)
    else:
        with turn(database):
            child = Child(database)
            print("waits" if child.waits() else "does not wait")
    print(child.hear())
    print(store(database, "after"))


if __name__ == "__main__":
    main()
