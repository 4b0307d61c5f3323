"""The destinations that the file declares."""

from datetime import UTC, datetime
from ipaddress import ip_network
from pathlib import Path

import pytest

from tests.support.sources import declare
from webhook_service.domain.consumers import BEGINNING, NOW, FeedFilter
from webhook_service.domain.destinations import Destination, On410, PushOrder, Retries, Target, Timeouts
from webhook_service.domain.secrets import Secrets

SECRET = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
SECRETS = {"A": SECRET, "B": "C2FVsBQIhrscChlQIMV+b5sSYspob7oD", "BAD": "not base64!"}
SHOP = '[destinations.shop]\nurl = "https://shop.example/hook"\nsecrets = [{env = "A"}]\n'


def problems(folder: Path, text: str) -> list[str]:
    return [line.removeprefix("webhook-service.toml, ") for line in declare(folder, text, SECRETS)[1]]


def test_a_url_and_a_secret_are_enough(tmp_path: Path) -> None:
    configuration, found = declare(tmp_path, SHOP, SECRETS)

    assert found == []
    assert configuration.destinations == {
        "shop": Destination("shop", Target("https://shop.example/hook", Secrets(SECRET)), start=NOW)
    }


def test_everything_can_be_said(tmp_path: Path) -> None:
    configuration, found = declare(
        tmp_path,
        """
[destinations.shop]
url = "http://10.1.2.3:8080/hook?a=b"
secrets = [{env = "A"}, {env = "B"}]
allowed_networks = ["10.1.0.0/16", "::1/128"]
start = 2026-01-31
order = "none"
concurrency = 50
rate = 100
on_410 = "dead"
filter = {from = "+491", provider = "native"}
timeout = {connect = 1, total = 2.5}
retry = {first = 1, longest = 60, total = 3600}

[destinations.everything]
url = "https://all.example"
secrets = [{env = "A"}]
start = "beginning"
""",
        SECRETS,
    )

    assert found == []
    networks = (ip_network("10.1.0.0/16"), ip_network("::1/128"))
    target = Target("http://10.1.2.3:8080/hook?a=b", Secrets(SECRET, SECRETS["B"]), Timeouts(1, 2.5), networks)
    assert configuration.destinations["shop"] == Destination(
        "shop",
        target,
        FeedFilter(sender="+491", provider="native"),
        datetime(2026, 1, 31, tzinfo=UTC),
        PushOrder.NONE,
        50,
        100.0,
        Retries(1, 60, 3600),
        On410.DEAD,
    )
    assert configuration.destinations["everything"].start is BEGINNING


@pytest.mark.parametrize(
    ("line", "problem"),
    [
        ('url = "shop.example"', "url: must be a URL such as https://example.com/hook"),
        ('url = "ftp://shop.example"', "url: must be a URL such as https://example.com/hook"),
        ('url = "http://shop.example:99999"', "url: must be a URL such as https://example.com/hook"),
        ('url = "http://shop.example/a b"', "url: must be a URL such as https://example.com/hook"),
        (
            'url = "https://user:word@shop.example"',
            "url: must hold no user and no password: the signature is what shows who sends",
        ),
        ("secrets = []", "secrets: missing"),
        ('secrets = [{env = "BAD"}]', "secrets[0]: the secret must be base64, with or without whsec_ before it"),
        ('secrets = ["plain"]', 'secrets[0]: must be {env = "NAME"} or {file = "path"}'),
        ('allowed_networks = ["10.0.0.1/8"]', "allowed_networks[0]: must be a network such as 10.0.0.0/8"),
        ("concurrency = 0", "concurrency: must be from 1 to 256"),
        ("rate = 0", "rate: must be from 0.001 to 1e+06"),
        ('order = "senders"', "order: unknown; did you mean sender?"),
        ('start = "today"', "start: must be one of beginning, now"),
        ("timeout = {totl = 1}", "timeout.totl: unknown key; did you mean total?"),
        ("retry = {total = -1}", "retry.total: must be from 0.1 to 2.592e+06"),
        ('filter = {sender = "+491"}', "filter.sender: unknown key"),
        ("colour = 1", "colour: unknown key"),
    ],
)
def test_what_is_wrong_is_said_with_its_line(tmp_path: Path, line: str, problem: str) -> None:
    key = line.partition(" =")[0]
    lines = [each for each in SHOP.splitlines() if not each.startswith(f"{key} =")]
    (found,) = problems(tmp_path, "\n".join([*lines, line]))

    assert found.startswith(f"line {len(lines) + 1}: destinations.shop.{problem}")
    assert "word" not in found.replace("password", "")


def test_a_name_fits_into_a_path(tmp_path: Path) -> None:
    (found,) = problems(tmp_path, SHOP.replace("shop]", '"a/b"]'))

    assert "a name is 1 to 64 lower-case letters" in found
