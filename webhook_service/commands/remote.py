"""A remote inbox, read over HTTP; when its server is away, reading goes on once it is back."""

import sys
import time
from collections.abc import Iterator
from typing import Any
from urllib.parse import quote

import click
import orjson
import urllib3

FIRST_PAUSE, LONGEST_PAUSE = 1.0, 60.0  # seconds between two attempts to reach a server
WAIT = 25  # seconds for which a server is asked to hold back an empty answer
TIMEOUT = urllib3.Timeout(connect=10, read=WAIT + 15)
PAGE = 100  # messages in one answer
LEAST_INTERVAL = 1.0  # seconds between two empty answers, for a server that does not hold answers back

_REFUSALS = {401: "the token is missing or wrong", 403: "the token is not good for that"}


class InboxAway(Exception):
    """The server did not answer as an inbox does; another attempt may succeed."""


class InboxRefused(Exception):
    """The server refused the request as invalid."""


class RemoteInbox:
    """The inbox at a URL."""

    def __init__(self, url: str, token: str | None) -> None:
        self._url = url
        self._pool = urllib3.PoolManager(retries=False, timeout=TIMEOUT)
        self._headers = {"Authorization": f"Bearer {token}"} if token else {}

    def find(self, message_id: str) -> dict[str, Any] | None:
        """Reads the message with an ID; None when there is none. Raises InboxAway and InboxRefused."""
        message = self._get(f"/messages/{quote(message_id, safe='')}", {})
        if message is not None:
            del message["receipts"], message["duplicates"]  # which the feed does not have
        return message

    def follow(self, since: str) -> Iterator[dict[str, Any]]:
        """Yields messages without end, from the time ``since`` on or from ``now``; waits while the server is away.

        Raises InboxRefused.
        """
        start, pause = {"since": since}, FIRST_PAUSE
        while True:
            began = time.monotonic()
            try:
                messages, place = self._read_feed(start)
            except InboxAway as away:
                click.echo(f"{away}: again in {pause:.0f} s", err=True)
                time.sleep(pause)
                pause = min(pause * 2, LONGEST_PAUSE)
                continue
            yield from messages
            start, pause = {"after": place}, FIRST_PAUSE
            if not messages:
                time.sleep(max(0.0, LEAST_INTERVAL - (time.monotonic() - began)))

    def close(self) -> None:
        """Closes the connections."""
        self._pool.clear()

    def _read_feed(self, start: dict[str, str]) -> tuple[list[dict[str, Any]], str]:
        """Reads a page of the feed, and the place after it."""
        page = self._get("/feed", {**start, "limit": str(PAGE), "wait": str(WAIT)})
        if page is None or not {"data", "next"} <= page.keys():
            raise InboxAway(f"{self._url} has no feed")
        return page["data"], page["next"]

    def _get(self, path: str, query: dict[str, str]) -> dict[str, Any] | None:
        try:
            answer = self._pool.request("GET", self._url + path, fields=query, headers=self._headers, redirect=False)
        except urllib3.exceptions.HTTPError as error:
            raise InboxAway(f"{self._url} can't be reached ({type(error).__name__})") from None
        if answer.status == 404:
            return None
        if answer.status == 422:
            raise InboxRefused(f"{self._url} takes no {', '.join(query)}: is it of an older release?")
        if answer.status != 200:
            raise InboxAway(f"{self._url} answers {answer.status}" + _explained(answer.status))
        try:
            found = orjson.loads(answer.data)
        except orjson.JSONDecodeError:
            found = None
        if not isinstance(found, dict):
            raise InboxAway(f"{self._url} answers with what is no inbox's")
        return found


def _explained(status: int) -> str:
    return f" ({_REFUSALS[status]})" if status in _REFUSALS else ""


def write_line(message: dict[str, Any]) -> None:
    """Writes a message as a line of JSON to standard output, at once."""
    sys.stdout.buffer.write(orjson.dumps(message, option=orjson.OPT_APPEND_NEWLINE))
    sys.stdout.buffer.flush()
