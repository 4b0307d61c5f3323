"""The setup page: what it says to enter at a provider, and the command that it gives to paste."""

from collections.abc import Iterator
from html import unescape
from pathlib import Path

import pytest
from flask.testing import FlaskClient

from tests.support.app import application
from tests.support.sources import declare

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

[sources.calls]
provider = "twilio"
secrets = [{env = "CALLS_TOKEN"}]
options = {public_url = "https://inbox.example.org"}
"""
WHSEC = "whsec_" + "c2VjcmV0" * 4
NAMES = ("SHOP_SECRET", "OLD_SECRET", "APP_SECRET", "META_TOKEN", "CALLS_TOKEN")
ENVIRON = {name: f"value of {name}" for name in NAMES}


@pytest.fixture
def client(sqlite_url: str, tmp_path: Path) -> Iterator[FlaskClient]:
    """An application with a source of the environment and several that are declared."""
    (tmp_path / "events.secret").write_text(WHSEC)
    configuration, problems = declare(tmp_path, DECLARED, ENVIRON)
    assert problems == []
    with application(sqlite_url, configuration=configuration) as made:
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
