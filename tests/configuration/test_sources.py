"""The sources that the file declares."""

from datetime import UTC, datetime
from pathlib import Path
from time import process_time

import pytest

from tests.support.provider_deliveries import MESSAGE
from tests.support.sources import declare
from webhook_service.providers.native import Native
from webhook_service.providers.twilio import Twilio
from webhook_service.providers.whatsapp import WhatsApp

SECRETS = {"A": "secret-a", "B": "secret-b", "TOKEN": "verify-token"}
META = """
[sources.meta]
provider = "whatsapp"
secrets = [{env = "A"}]
options = {verify_token = {env = "TOKEN"}}
"""


def problems(folder: Path, text: str, *configured: type[Native | Twilio | WhatsApp]) -> list[str]:
    return [line.removeprefix("webhook-service.toml, ") for line in declare(folder, text, SECRETS, configured)[1]]


def test_a_source_has_its_name_its_address_and_its_secrets(tmp_path: Path) -> None:
    configuration, found = declare(
        tmp_path,
        """
[sources.shop]
provider = "native"
secrets = [{env = "A", label = "2026"}, {env = "B", until = 2026-06-30}]

[sources.calls]
provider = "twilio"
secrets = [{env = "A"}, {env = "B"}]
options = {public_url = "https://inbox.example.org"}
""",
        SECRETS,
    )

    shop, calls = configuration.sources["shop"], configuration.sources["calls"]
    assert found == []
    assert (shop.path, shop.provider.name) == ("/webhook/shop", "native")
    assert shop.provider.secrets.labelled() == [("2026", "secret-a"), ("previous", "secret-b")]
    assert shop.provider.secrets.listed[1].until == datetime(2026, 6, 30, tzinfo=UTC)
    assert calls.sample(MESSAGE).path == "/webhook/calls"
    assert calls.provider.secrets.labelled() == [("current", "secret-a"), ("previous", "secret-b")]


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ('[sources.x]\nsecrets = [{env = "A"}]', "line 1: sources.x.provider: missing"),
        (
            '[sources.x]\nprovider = "whatsap"\nsecrets = [{env = "A"}]',
            "line 2: sources.x.provider: unknown; did you mean whatsapp?",
        ),
        ('[sources.x]\nprovider = "native"', "line 1: sources.x.secrets: missing"),
        ('[sources.x]\nprovider = "native"\nsecrets = []', "line 3: sources.x.secrets: must not be empty"),
        (
            '[sources.x]\nprovider = "native"\nsecret = [{env = "A"}]\nsecrets = [{env = "A"}]',
            "line 3: sources.x.secret: unknown key; did you mean secrets?",
        ),
        (
            '[sources.x]\nprovider = "native"\nsecrets = ["A"]',
            'line 3: sources.x.secrets[0]: must be {env = "NAME"} or {file = "path"}',
        ),
        (
            '[sources.x]\nprovider = "native"\nsecrets = [\n  {env = "A"},\n  {env = "C"},\n]',
            "line 5: sources.x.secrets[1].env: this variable is not set",
        ),
        (
            '[sources.x]\nprovider = "native"\nsecrets = [{env = "A"}, {env = "B", label = "current"}]',
            "line 3: sources.x.secrets[1].label: another secret of this source has this label",
        ),
        (
            '[sources.x]\nprovider = "native"\nsecrets = [{env = "A", until = "soon"}]',
            "line 3: sources.x.secrets[0].until: must be a date, or a date and time with an offset such as"
            " 2026-01-31T12:00:00Z",
        ),
        (
            '[sources.x]\nprovider = "standard"\nsecrets = [{env = "A"}, {env = "TOKEN"}]\n',
            "line 3: sources.x.secrets[0]: not base64, with or without whsec_ before it",
        ),
        (
            '[sources.x]\nprovider = "twilio"\nsecrets = [{env = "A"}]\n[sources.x.options]\npublic_url = "x"',
            "line 5: sources.x.options.public_url: not the base of this service's URLs, such as"
            " https://inbox.example.com",
        ),
        (
            '[sources.x]\nprovider = "whatsapp"\nsecrets = [{env = "A"}]\noptions = {verify_token = "open"}',
            'line 4: sources.x.options.verify_token: must be {env = "NAME"} or {file = "path"}',
        ),
        (
            '[sources."x/y"]\nprovider = "native"\nsecrets = [{env = "A"}]',
            "line 1: sources.x?y: a name has at most 32 of a-z, 0-9, - and _, and begins with a letter or a digit",
        ),
        (
            '[sources.twilio]\nprovider = "native"\nsecrets = [{env = "A"}]',
            "line 1: sources.twilio: has the name of another provider than native: it needs a name of its own",
        ),
    ],
)
def test_what_is_wrong_is_named_with_its_line(tmp_path: Path, text: str, problem: str) -> None:
    assert problem in problems(tmp_path, text)


@pytest.mark.parametrize(
    ("provider", "first"),
    [
        ('providr = "native"', "line 2: sources.x.providr: unknown key; did you mean provider?"),
        ('provider = "nativ"', "line 2: sources.x.provider: unknown; did you mean native?"),
    ],
)
def test_without_a_provider_the_keys_that_none_has_are_named(provider: str, first: str, tmp_path: Path) -> None:
    keys = 'secretz = []\nverfy = {}\noptions = {}\npayload = {}\nsigning_key = {env = "A"}'

    found = problems(tmp_path, f"[sources.x]\n{provider}\n{keys}")

    assert [line for line in found if line != "line 1: sources.x.provider: missing"] == [
        first,
        "line 3: sources.x.secretz: unknown key; did you mean secrets?",
        "line 4: sources.x.verfy: unknown key; did you mean verify?",
    ]


@pytest.mark.parametrize("wrong", ["meta", "berlin"])
def test_a_route_to_or_from_a_source_of_a_misspelt_provider_is_not_blamed(wrong: str, tmp_path: Path) -> None:
    names = {"meta": "whatsapp", "berlin": "whatsapp", wrong: "whatsap"}
    text = META.replace("whatsapp", names["meta"]) + 'route = {by = "a", to = {"1" = "berlin"}}\n'

    found = problems(tmp_path, f'{text}[sources.berlin]\nprovider = "{names["berlin"]}"')

    assert [line.partition(": ")[2] for line in found if wrong in line] == [
        f"sources.{wrong}.provider: unknown; did you mean whatsapp?"
    ]
    assert not [line for line in found if "route" in line]


@pytest.mark.parametrize("secrets", ['[{env = "UNSET"}]', '[{env = "A"}]'])
@pytest.mark.parametrize(
    ("options", "expected"),
    [
        ("", ["line 1: sources.x.options: missing"]),
        (
            'options = {verify_tokn = {env = "TOKEN"}}',
            [
                "line 4: sources.x.options.verify_token: missing",
                "line 4: sources.x.options.verify_tokn: unknown key; did you mean verify_token?",
            ],
        ),
    ],
)
def test_the_options_are_read_whatever_the_secrets(
    secrets: str, options: str, expected: list[str], tmp_path: Path
) -> None:
    found = problems(tmp_path, f'[sources.x]\nprovider = "whatsapp"\nsecrets = {secrets}\n{options}')

    unset = "line 3: sources.x.secrets[0].env: this variable is not set"
    assert [line for line in found if line != unset] == expected
    assert (unset in found) == ("UNSET" in secrets)


def test_a_source_at_the_address_of_a_provider_that_the_environment_sets_up_is_refused(tmp_path: Path) -> None:
    found = problems(tmp_path, '[sources.native]\nprovider = "native"\nsecrets = [{env = "A"}]', Native)

    assert found == [
        "line 1: sources.native: has the address /webhook of the provider that WEBHOOK_SECRET sets up: keep one"
    ]


def test_two_sources_can_not_have_one_address(tmp_path: Path) -> None:
    (found,) = problems(tmp_path, "[sources.x]\n[sources.x]")

    assert found.startswith("line 2: not TOML: Cannot declare ('sources', 'x') twice")


def test_a_route_leads_to_declared_sources_and_to_those_of_the_environment(tmp_path: Path) -> None:
    text = META + 'route = {by = "metadata.phone_number_id", to = {"1" = "berlin", "2" = "whatsapp"}}\n'

    configuration, found = declare(tmp_path, text + '[sources.berlin]\nprovider = "whatsapp"', SECRETS, [WhatsApp])

    assert found == []
    route = configuration.sources["meta"].provider.route
    assert route is not None
    assert route.source_of({"metadata": {"phone_number_id": "1"}}, "meta") == "berlin"
    assert configuration.sources["berlin"].provider.secrets.current == "secret-a"


@pytest.mark.parametrize(
    ("route", "problem"),
    [
        (
            'route = {by = "a", to = {"1" = "berln"}}\n[sources.berlin]\nprovider = "whatsapp"',
            "line 6: sources.meta.route.to[1]: there is no such source; did you mean berlin?",
        ),
        (
            'route = {by = "a", to = {"1" = "shop"}}\n[sources.shop]\nprovider = "native"\nsecrets = [{env = "A"}]',
            "line 6: sources.meta.route.to[1]: leads to a source of native, not of whatsapp",
        ),
        ('route = {by = "a[", to = {}}', "line 6: sources.meta.route.by: not a JMESPath"),
        ('route = {to = {"1" = 2}}', "line 6: sources.meta.route.by: missing"),
        ('route = {by = "a", to = {"1" = 2}}', "line 6: sources.meta.route.to[1]: must be the name of a source"),
    ],
)
def test_a_route_that_leads_nowhere_is_refused(tmp_path: Path, route: str, problem: str) -> None:
    assert problem in problems(tmp_path, META + route)


def test_a_thousand_sources_are_loaded_in_less_than_a_second(tmp_path: Path) -> None:
    text = "".join(
        f'[sources.source-{number}]\nprovider = "native"\nsecrets = [{{env = "A", label = "x"}}, {{env = "B"}}]\n'
        for number in range(1000)
    )

    begun = process_time()
    configuration, found = declare(tmp_path, text, SECRETS)
    took = process_time() - begun

    assert (len(configuration.sources), found) == (1000, [])
    assert took < 1.0
