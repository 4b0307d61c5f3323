"""The setup page: what it says to enter at a provider, and the command that it gives to paste."""

import os
import re
import shlex
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from html import unescape
from pathlib import Path

import pytest
from flask.testing import FlaskClient

from tests.support.app import application
from tests.support.deliveries import SECRET
from tests.support.server import Server
from tests.support.sources import declare
from webhook_service.dashboard.markdown import render_markdown
from webhook_service.settings import Launch

DECLARED = """
[sources.shop]
provider = "native"
secrets = [{env = "SHOP_SECRET"}, {env = "OLD_SECRET"}]

[sources.events]
provider = "standard"
secrets = [{file = "events.secret"}]

[sources.meta]
provider = "whatsapp"
secrets = [{env = "APP_SECRET"}]
options = {verify_token = {env = "META_TOKEN"}}
route = {by = "metadata.phone_number_id", to = {"111" = "berlin"}}

[sources.berlin]
provider = "whatsapp"

[sources.code]
provider = "github"
secrets = [{env = "HUB_SECRET"}]

[sources.calls]
provider = "twilio"
secrets = [{env = "CALLS_TOKEN"}]
options = {public_url = "https://inbox.example.org"}
"""
WHSEC = "whsec_" + "c2VjcmV0" * 4
NAMES = ("SHOP_SECRET", "OLD_SECRET", "APP_SECRET", "META_TOKEN", "CALLS_TOKEN", "HUB_SECRET")
ENVIRON = {name: f"value of {name}" for name in NAMES}


@contextmanager
def declared_application(database_url: str, folder: Path, launch: Launch | None = None) -> Iterator[FlaskClient]:
    """An application with a source of the environment and several that are declared."""
    (folder / "events.secret").write_text(WHSEC)
    configuration, problems = declare(folder, DECLARED, ENVIRON)
    assert problems == []
    with application(database_url, configuration=configuration, launch=launch or Launch()) as made:
        yield made


@pytest.fixture
def client(sqlite_url: str, tmp_path: Path) -> Iterator[FlaskClient]:
    with declared_application(sqlite_url, tmp_path) as made:
        yield made


def test_each_source_names_the_variable_or_the_file_that_has_its_secret(client: FlaskClient) -> None:
    listed = client.get("/sources")
    fields = {each["name"]: each["setup"]["fields"] for each in listed.get_json()["data"]}

    assert fields["native"]["X-Signature"] == "HMAC-SHA256 of the body with the secret (WEBHOOK_SECRET), as hex"
    assert fields["shop"]["X-Signature"] == "HMAC-SHA256 of the body with the secret (SHOP_SECRET), as hex"
    assert fields["events"]["Signing secret"] == "the secret (the file events.secret), whsec_…"
    assert fields["meta"]["Verify token"] == fields["berlin"]["Verify token"] == "the verify token (META_TOKEN)"
    assert fields["calls"]["options.public_url"] == "the base of this address, exactly as Twilio calls it"
    page = unescape(client.get("/dashboard/setup").text)
    assert "with the secret (SHOP_SECRET)" in page
    assert not [secret for secret in (WHSEC, *ENVIRON.values()) if secret in page + listed.text]


def commands(page: str) -> list[list[str]]:
    """The commands that a page shows, as a shell splits them."""
    return [shlex.split(unescape(shown)) for shown in re.findall(r'class="command"[^>]*>([^<]+)<', page)]


def test_the_command_runs_as_it_is_pasted(sqlite_url: str, tmp_path: Path) -> None:
    settings = tmp_path / "settings of the service"
    settings.write_text(f"WEBHOOK_SECRET={SECRET}\n")
    server = Server(sqlite_url, ENV_FILE=str(settings))
    del server.environ["WEBHOOK_SECRET"]
    with server as running:
        (command,) = commands(running.get("/dashboard/setup").data.decode())
        sent = subprocess.run(
            command, env={"PATH": os.defpath}, cwd=tmp_path, capture_output=True, text=True, timeout=60, check=False
        )

        assert (sent.returncode, sent.stderr) == (0, "")
        assert running.get("/messages").data.count(b"Hello from webhook-service") == 1


def test_in_a_container_the_command_is_for_a_shell_outside(sqlite_url: str, tmp_path: Path) -> None:
    launch = Launch("docker compose exec app webhook-service")
    with declared_application(sqlite_url, tmp_path, launch) as client:
        shown = commands(client.get("/dashboard/setup").text)

    inside = ["docker", "compose", "exec", "app", "webhook-service", "send"]
    assert {tuple(command) for command in shown} == {
        tuple(inside),
        *((*inside, "--source", name) for name in ("shop", "events", "meta", "berlin", "code", "calls")),
    }


UNREADABLE = """
[sources.shop]
provider = "custom"
secrets = [{env = "SHOP_SECRET"}]
[sources.shop.verify]
scheme = "hmac"
algorithm = "sha256"
encoding = "hex"
signature = {header = "X-Signature"}
signed = "{body}"
[sources.shop.payload]
items = "data"
message_id = "item.id"
from = "join('-', [item.a, item.b])"
to = "item.c"
"""


def test_a_test_message_that_the_source_can_not_read_is_not_called_stored(sqlite_url: str, tmp_path: Path) -> None:
    configuration, problems = declare(tmp_path, UNREADABLE, ENVIRON)
    assert problems == []
    with application(sqlite_url, configuration=configuration) as client:
        page = unescape(client.post("/dashboard/setup/shop/test", headers={"Sec-Fetch-Site": "same-origin"}).text)

        assert "The test message was not stored: invalid_fields (items[0].from)." in page
        assert "Signed, verified and stored" not in page
        assert client.get("/quarantine").get_json()["data"] == []


def test_the_guide_of_a_preset_is_shown_without_its_markdown(client: FlaskClient) -> None:
    page = unescape(client.get("/dashboard/setup").text)

    assert (
        "<em>Settings → Webhooks → Add webhook</em>: the payload URL, content type <code>application/json</code>"
        in page
    )


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("Call `bot<TOKEN>` with *a & b*.", "Call <code>bot&lt;TOKEN&gt;</code> with <em>a &amp; b</em>."),
        ("`a*b*c` and 2 * 3", "<code>a*b*c</code> and 2 * 3"),
        ("<b>*x*</b>", "&lt;b&gt;<em>x</em>&lt;/b&gt;"),
    ],
)
def test_a_guide_is_escaped_before_it_is_marked_up(text: str, shown: str) -> None:
    assert render_markdown(text) == shown
