"""A consumer of the feed that lives through whatever the tests do to the database."""

from itertools import cycle
from threading import Event, Thread
from types import TracebackType
from typing import Self

import urllib3

from tests.support.server import Server
from tests.support.waiting import wait_until

PAUSE = 0.05  # seconds, after an answer with nothing new and after a failure


class Follower:
    """Reads the feed of these servers in turn, from its first message on, until the block is left."""

    def __init__(self, *servers: Server) -> None:
        self.seen: list[str] = []
        self._servers = cycle(servers)
        self._after = ""
        self._stopped = Event()
        self._thread = Thread(target=self._follow)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self, _type: type[BaseException] | None, _error: BaseException | None, _trace: TracebackType | None
    ) -> None:
        self._stopped.set()
        self._thread.join()

    def wait_for(self, message_ids: set[str]) -> None:
        """Returns once all of these were seen; TimeoutError says how many were not, and where the feed is."""
        try:
            wait_until(lambda: message_ids <= set(self.seen), "the feed to give every message")
        except TimeoutError as error:
            left = message_ids - set(self.seen)
            error.add_note(
                f"{len(left)} of {len(message_ids)} are left, such as {min(left)}; it is after {self._after}"
            )
            raise

    def followed(self, stored: list[str]) -> bool:
        """Tells whether all that is stored was seen, in that order.

        A message that an old leader showed and no other has may be among what was seen, and one that came again twice.
        """
        last = {message_id: place for place, message_id in enumerate(self.seen)}
        known = set(stored)
        return sorted(known & last.keys(), key=last.__getitem__) == stored

    def _follow(self) -> None:
        while not self._stopped.is_set():
            if not self._read(next(self._servers)):
                self._stopped.wait(PAUSE)

    def _read(self, server: Server) -> bool:
        """Takes the next page; tells whether there was something in it."""
        try:
            answer = server.get(f"/feed?limit=1000&after={self._after}")
        except urllib3.exceptions.HTTPError:
            return False
        if answer.status != 200:
            return False
        page = answer.json()
        self.seen += [message["message_id"] for message in page["data"]]
        self._after = page["next"]
        return bool(page["data"])
