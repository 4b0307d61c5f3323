"""The application in this process, without a server."""

import os
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from typing import Any, ClassVar

from flask import Flask
from flask.testing import FlaskClient
from sqlalchemy import event
from sqlalchemy.engine.interfaces import DBAPIConnection
from sqlalchemy.pool import ConnectionPoolEntry, Pool
from werkzeug.routing import Rule
from werkzeug.test import Client, TestResponse

from tests.support.contract import CheckedClient
from tests.support.deliveries import SECRET, signed, to_bytes
from webhook_service.app import create_app
from webhook_service.configuration.database_url import parse_url
from webhook_service.domain.secrets import Secrets
from webhook_service.intake.take_in import INTAKE
from webhook_service.providers.base import Provider
from webhook_service.providers.native import Native
from webhook_service.providers.registry import PROVIDERS
from webhook_service.settings import Settings


class _Rule(Rule):
    """A rule that compiles how to build its address once in a process.

    Each test has an application of its own, and more than half of what it takes to make one is this.
    """

    _compiled: ClassVar[dict[Any, Callable[..., tuple[str, str]]]] = {}

    def _compile_builder(self, append_unknown: bool = True) -> Callable[..., tuple[str, str]]:
        key = (self.rule, tuple(self._trace), repr(self.defaults), append_unknown)
        if key not in self._compiled:
            self._compiled[key] = super()._compile_builder(append_unknown)
        return self._compiled[key]


Flask.url_rule_class = _Rule


@contextmanager
def application(
    database_url: str,
    known_providers: Iterable[type[Provider]] = PROVIDERS,
    users: Iterable[int] = (os.geteuid(),),
    **settings: Any,
) -> Iterator[FlaskClient]:
    """Gives a client of an application on this database; ``settings`` are fields of Settings.

    ``users`` are those who count as having made its requests, since these come over no socket.
    """
    callers = frozenset(users)
    values: dict[str, Any] = {
        "provider_secrets": {Native.name: Secrets(SECRET)},
        "provider_options": {Native.name: {}},
        **settings,
    }
    app = create_app(
        Settings(database_url=parse_url(database_url), **values), known_providers, lambda _environ: callers
    )
    app.test_client_class = CheckedClient
    with _connections_closed_in_the_end():
        try:
            yield app.test_client()
        finally:
            app.extensions[INTAKE].activity.stop()


@contextmanager
def _connections_closed_in_the_end() -> Iterator[None]:
    """Closes an application's connections at the end of the test; it would keep them for as long as it lives."""
    opened: list[DBAPIConnection] = []

    def remember(connection: DBAPIConnection, _entry: ConnectionPoolEntry) -> None:
        opened.append(connection)

    event.listen(Pool, "connect", remember)
    try:
        yield
    finally:
        event.remove(Pool, "connect", remember)
        for connection in opened:
            connection.close()


def deliver(client: Client, content: Any, path: str = "/webhook") -> TestResponse:
    """Sends a signed delivery to the native provider: a payload, or the bytes of one."""
    raw = content if isinstance(content, bytes) else to_bytes(content)
    return client.post(path, data=raw, headers=signed(raw))
