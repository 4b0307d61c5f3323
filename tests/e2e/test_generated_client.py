"""A typed client that openapi-python-client makes from the document, against a real server."""

import importlib
import os
import subprocess
import sys
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from tests.support.deliveries import payload
from tests.support.processes import BIN
from tests.support.server import Server

TOKEN = "the-token-of-the-tests"
PACKAGE = "inbox_client"


@pytest.fixture
def server(sqlite_url: str) -> Iterator[Server]:
    with Server(sqlite_url, WEB_CONCURRENCY="1", API_TOKEN=TOKEN) as running:
        yield running


@pytest.fixture
def api(server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[ModuleType]:
    """The generated package."""
    document = tmp_path / "openapi.json"
    document.write_bytes(server.get("/openapi.json", {"Authorization": f"Bearer {TOKEN}"}).data)
    generated = subprocess.run(
        [
            *(BIN / "openapi-python-client", "generate", "--path", document),
            *("--meta", "none", "--output-path", tmp_path / PACKAGE, "--fail-on-warning"),
        ],
        env={**os.environ, "PATH": f"{BIN}:{os.environ['PATH']}"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert generated.returncode == 0, generated.stdout + generated.stderr
    monkeypatch.syspath_prepend(tmp_path)
    yield importlib.import_module(PACKAGE)
    for name in [name for name in sys.modules if name.partition(".")[0] == PACKAGE]:
        del sys.modules[name]


def call(operation: str, *arguments: Any, **options: Any) -> Any:
    """Calls an operation, as ``tag.name``, and returns what its answer was parsed to."""
    module = importlib.import_module(f"{PACKAGE}.api.{operation}")
    return module.sync(*arguments, **options)


def test_a_generated_client_reads_what_was_delivered(api: ModuleType, server: Server) -> None:
    for number in range(3):
        server.deliver(
            payload(message_id=f"m/{number}", ts=f"2025-01-1{number}T10:00:00Z", text="Grüße", number=number)
        )

    with api.AuthenticatedClient(base_url=server.url, token=TOKEN) as client:
        page = call("messages.list_messages", client=client, since=datetime(2025, 1, 11, tzinfo=UTC), limit=1)
        single = call("messages.get_message", "m/2", client=client)
        feed = call("messages.read_feed", client=client, limit=2)
        rest = call("messages.read_feed", client=client, after=feed.next_)
        stats = call("totals.get_stats", client=client)

    assert (page.total, [message.message_id for message in page.data]) == (2, ["m/1"])
    assert (single.text, single.ts, single.receipts) == ("Grüße", datetime(2025, 1, 12, 10, tzinfo=UTC), [])
    assert single.extra.additional_properties == {"number": 2}
    assert [message.message_id for message in feed.data + rest.data] == ["m/0", "m/1", "m/2"]
    assert stats.total_messages == 3


def test_a_generated_client_reads_errors(api: ModuleType, server: Server) -> None:
    with api.AuthenticatedClient(base_url=server.url, token=TOKEN) as client:
        missing = call("messages.get_message", "nothing", client=client)
        invalid = call("messages.list_messages", client=client, limit=0)
    with api.AuthenticatedClient(base_url=server.url, token="wrong") as client:
        refused = call("messages.list_messages", client=client)

    assert missing.detail == "not found"
    assert list(invalid.errors.additional_properties) == ["limit"]
    assert refused.detail == "API token needed"
