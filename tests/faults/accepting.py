"""A program that takes in deliveries of many items until it is killed, and writes a line for each that is stored.

Its argument is the URL of the database. A line is the name of a delivery; the IDs of its items begin with that.
"""

import os
import sys
from concurrent.futures import ThreadPoolExecutor
from uuid import uuid4

from tests.support.messages import MOMENT, message
from tests.support.stored import accept
from webhook_service.configuration.database_url import parse_url
from webhook_service.domain.deliveries import Contents
from webhook_service.domain.receipts import Receipt
from webhook_service.storage.database import Database

THREADS = 4
MESSAGES = 40
RECEIPTS = 10


def delivery(name: str) -> Contents:
    """The items of a delivery with this name."""
    receipts = [
        Receipt(f"{name}/{number}", "native", "read", "+4930123456", ts=MOMENT, received_at=MOMENT)
        for number in range(RECEIPTS)
    ]
    return Contents(tuple(message(f"{name}/{number}") for number in range(MESSAGES)), tuple(receipts))


def accept_until_killed(database: Database) -> None:
    """Takes in one delivery after another."""
    while True:
        name = uuid4().hex
        accept(database, delivery(name))
        os.write(sys.stdout.fileno(), f"{name}\n".encode())


def main() -> None:
    """Runs the threads; one that fails ends the program."""
    database = Database(parse_url(sys.argv[1]), pool_size=1)
    with ThreadPoolExecutor(THREADS) as threads:
        for ended in [threads.submit(accept_until_killed, database) for _ in range(THREADS)]:
            ended.result()


if __name__ == "__main__":
    main()
