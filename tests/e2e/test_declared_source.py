"""A stranger adds a provider that nobody has heard of by ten lines of TOML, following docs/sources.md.

The specification of the invented provider: a POST of JSON to a URL; ``X-Acme-Signature`` is ``v1=`` and the hex
HMAC-SHA256 of ``X-Acme-Time``, a full stop and the body; ``X-Acme-Time`` is in seconds since 1970.
"""

import hmac
import json
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.forked import run_cli
from tests.support.server import Server

SECRET = "the secret that Acme shows once"  # a test's own
TEN_LINES = """
[sources.acme]
provider = "custom"
secrets = [{env = "ACME_SECRET"}]
[sources.acme.verify]
scheme = "hmac"
algorithm = "sha256"
encoding = "hex"
signature = {header = "X-Acme-Signature", prefix = "v1="}
signed = "{timestamp}.{body}"
timestamp = {header = "X-Acme-Time"}
[sources.acme.payload]
message_id = "event_id"
from = "item.customer.phone"
to = "inbox"
text = "item.content.words"
"""
WRONG_MAPPING = TEN_LINES.replace("item.customer.phone", "item.customer.telephone")


@pytest.fixture
def config_file(tmp_path: Path) -> Path:
    return tmp_path / "acme.toml"


@pytest.fixture
def stranger(sqlite_url: str, config_file: Path) -> Iterator[Server]:
    """A server whose file has a mistake in the mapping, which nobody sees before the first delivery."""
    config_file.write_text(WRONG_MAPPING)
    with Server(sqlite_url, CONFIG_FILE=str(config_file), ACME_SECRET=SECRET) as running:
        yield running


def deliver(server: Server, event_id: str, secret: str = SECRET) -> int:
    body = json.dumps(
        {"event_id": event_id, "customer": {"phone": "+49151"}, "inbox": "sales", "content": {"words": "Hello"}}
    ).encode()
    now = str(int(time.time()))
    signature = hmac.digest(secret.encode(), f"{now}.".encode() + body, "sha256").hex()
    headers = {"X-Acme-Time": now, "X-Acme-Signature": f"v1={signature}", "Content-Type": "application/json"}
    return server.post("/webhook/acme", body, headers).status


def test_an_invented_provider_is_taken_in_and_a_mistake_in_its_mapping_loses_nothing(
    stranger: Server, config_file: Path
) -> None:
    assert deliver(stranger, "first", secret="another") == 401
    assert deliver(stranger, "first") == 200

    (kept,) = stranger.get("/quarantine").json()["data"]
    assert (kept["source"], kept["reason"], list(kept["problems"])) == ("acme", "invalid_fields", ["from"])
    config_file.write_text(TEN_LINES)
    assert run_cli("config", "check", environ=stranger.environ).returncode == 0
    replayed = run_cli("quarantine", "replay", environ=stranger.environ)
    assert (replayed.returncode, stranger.get("/quarantine").json()["data"]) == (0, [])
    message = stranger.get("/messages/first").json()
    assert (message["source"], message["provider"]) == ("acme", "custom")
    assert (message["from"], message["to"], message["text"]) == ("+49151", "sales", "Hello")

    sent = run_cli("send", "--source", "acme", "--message-id", "sample", environ=stranger.environ)
    assert sent.returncode == 0, sent.stdout + sent.stderr
    shown = run_cli("sources", environ=stranger.environ)
    assert "acme (custom)" in shown.stdout
    assert "/webhook/acme" in shown.stdout
    assert SECRET not in shown.stdout


def test_a_broken_file_keeps_the_server_from_starting_and_the_check_names_each_line(
    sqlite_url: str, config_file: Path
) -> None:
    config_file.write_text(TEN_LINES.replace("sha256", "sha25").replace("{body}", ""))
    environ = Server(sqlite_url, CONFIG_FILE=str(config_file), ACME_SECRET="").environ

    checked = run_cli("config", "check", environ=environ)

    assert checked.returncode == 1
    assert "acme.toml, line 4: sources.acme.secrets[0].env: this variable is not set" in checked.stderr
    assert "acme.toml, line 7: sources.acme.verify.algorithm: " in checked.stderr
    assert "acme.toml, line 10: sources.acme.verify.signed: does not cover the body" in checked.stderr
