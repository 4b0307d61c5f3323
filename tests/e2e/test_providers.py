"""The providers as they and their operator meet the service: a real server and the console script."""

import json
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.support.commands import call_cli
from tests.support.deliveries import payload
from tests.support.server import Server
from tests.support.waiting import wait_until
from webhook_service.providers.registry import PROVIDERS

SETTINGS = {
    "STANDARD_WEBHOOKS_SECRET": "whsec_c3RhbmRhcmQtc2VjcmV0",
    "WHATSAPP_APP_SECRET": "app-secret",
    "WHATSAPP_VERIFY_TOKEN": "verify-token",
    "TWILIO_AUTH_TOKEN": "auth-token",
    "PUBLIC_URL": "https://inbox.example.com",
}


@pytest.fixture(scope="module")
def server(sqlite_template: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    database = shutil.copy(sqlite_template, tmp_path_factory.mktemp("providers") / "app.db")
    with Server(f"sqlite:///{database}", **SETTINGS) as running:
        yield running


def handshake(server: Server, token: str) -> tuple[int, str, str]:
    """What Meta gets to see: status, content type and text."""
    query = f"hub.mode=subscribe&hub.verify_token={token}&hub.challenge=1158201444"
    response = server.get(f"/webhook/whatsapp?{query}")
    return response.status, response.headers["Content-Type"].partition(";")[0], response.data.decode()


@pytest.mark.parametrize("provider", [provider.name for provider in PROVIDERS])
def test_send_signs_for_every_provider(provider: str, server: Server) -> None:
    sent = call_cli("send", "--source", provider, "--message-id", f"sent-{provider}", environ=server.environ)

    assert (sent.returncode, sent.stdout[:4]) == (0, "200 ")
    assert json.loads(server.get(f"/messages/sent-{provider}").data)["provider"] == provider


def test_meta_gets_its_challenge_back_as_text(server: Server) -> None:
    assert handshake(server, "verify-token") == (200, "text/plain", "1158201444")


def test_a_handshake_with_another_token_is_refused(server: Server) -> None:
    status, content_type, text = handshake(server, "guessed")

    assert (status, content_type) == (403, "application/json")
    assert "1158201444" not in text


def test_the_log_says_what_would_have_matched_and_the_caller_is_not_told(server: Server) -> None:
    elsewhere = {**server.environ, "PUBLIC_URL": "http://inbox.example.com"}

    refused = call_cli("send", "--provider", "twilio", environ=elsewhere)

    def hints() -> list[dict[str, Any]]:
        return [line for line in server.log_lines() if line["message"] == "refused signature"]

    def requests() -> list[dict[str, Any]]:
        """The lines of the requests that got a hint, which two threads write."""
        hinted = {hint["request_id"] for hint in hints()}
        return [line for line in server.request_lines() if line["request_id"] in hinted]

    wait_until(lambda: len(requests()) == len(hints()) > 0, "the hint and the line of its request")
    last = requests()[-1]
    assert refused.stdout.strip() == '401 {"detail":"invalid signature"}'
    assert (last["status"], last["provider"], last["reason"]) == (401, "twilio", "wrong_signature")
    assert (hints()[-1]["provider"], hints()[-1]["hint"]) == ("twilio", "other_scheme")


def test_the_quarantine_is_listed_shown_tried_again_and_dropped(server: Server) -> None:
    server.deliver(b"not json at all")
    (entry,) = json.loads(server.get("/quarantine").data)["data"]
    entry_id = str(entry["id"])

    listed = call_cli("quarantine", "list", environ=server.environ)
    shown = call_cli("quarantine", "show", entry_id, environ=server.environ)
    replayed = call_cli("quarantine", "replay", environ=server.environ)
    dropped = call_cli("quarantine", "drop", entry_id, environ=server.environ)
    again = call_cli("quarantine", "drop", entry_id, environ=server.environ)

    assert listed.stdout.split("\t")[:4] == [entry_id, "native", "not_json", "1"]
    assert json.loads(shown.stdout)["body"] == "not json at all"
    assert replayed.stdout == f"{entry_id}: 0 created, 0 duplicate, 0 conflict, still not_json\n"
    assert dropped.stdout == f"{entry_id}: dropped\n"
    assert (again.returncode, again.stderr) == (1, f"Error: {entry_id} is not in quarantine\n")
    assert json.loads(server.get("/quarantine").data)["data"] == []


def test_a_conflict_is_stored_under_an_id_of_its_own_when_an_operator_says_so(server: Server) -> None:
    first = payload()
    server.deliver(first)
    server.deliver({**first, "text": "Goodbye"})
    entry_id = str(json.loads(server.get("/quarantine").data)["data"][-1]["id"])

    as_it_is = call_cli("quarantine", "replay", entry_id, environ=server.environ)
    renamed = call_cli("quarantine", "replay", "--rename", entry_id, environ=server.environ)

    assert as_it_is.stdout == f"{entry_id}: 0 created, 0 duplicate, 1 conflict, still id_conflict\n"
    assert renamed.stdout == f"{entry_id}: 1 created, 0 duplicate, 0 conflict\n"
