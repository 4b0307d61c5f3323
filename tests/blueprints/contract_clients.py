"""Clients of Flask alone, of the service's worker, and of gunicorn's own."""

from collections.abc import Iterator

import pytest
from werkzeug.test import Client

from tests.support.app import application
from tests.support.forwarding import client_of
from tests.support.server import Server
from tests.support.stored import empty

WORKERS = {"worker": "webhook_service.serving.worker.InboxWorker", "gthread": "gthread"}
ON_SQLITE = [("Flask", "sqlite"), ("worker", "sqlite"), ("gthread", "sqlite")]
EVERYWHERE = [*ON_SQLITE, ("Flask", "postgresql"), ("worker", "postgresql")]


def served(request: pytest.FixtureRequest, servers: dict[tuple[str, str], Server]) -> Iterator[Client]:
    """A client of an empty service, which runs where the parameter says."""
    where, kind = request.param
    if where == "Flask":
        with application(request.getfixturevalue(f"{kind}_url")) as made:
            yield made
        return
    if request.param not in servers:
        url = request.getfixturevalue(f"contract_{kind}_url")
        worker = f"--worker-class {WORKERS[where]}"
        servers[request.param] = Server(url, WEB_CONCURRENCY="1", GUNICORN_CMD_ARGS=worker).__enter__()
    server = servers[request.param]
    empty(server.environ["DATABASE_URL"])
    yield client_of(server)
