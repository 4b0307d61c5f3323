"""The OpenAPI document and its page, held against the code, the answers and the page for people."""

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl

import pytest
from flask.testing import FlaskClient
from openapi_spec_validator import validate as validate_document
from werkzeug.routing import Rule

from tests.support.app import application, deliver
from tests.support.contract import DOCUMENT, operations, resolve, validate
from tests.support.deliveries import SECRET, payload
from tests.support.processes import ROOT
from tests.support.provider_deliveries import MESSAGE
from webhook_service.contract import docs_page
from webhook_service.domain.secrets import Secrets
from webhook_service.providers import whatsapp
from webhook_service.providers.base import Provider
from webhook_service.providers.native import Native
from webhook_service.providers.registry import PROVIDERS
from webhook_service.providers.standard import Standard
from webhook_service.providers.twilio import Twilio

TOKEN = "the-token-of-the-tests"
BEARER = {"Authorization": f"Bearer {TOKEN}"}
PARTS_OF_THE_PAGE = {"/docs/<version>/<name>"}
HTTP_PAGE = (ROOT / "docs/http.md").read_text()
WHATSAPP = ROOT / "tests/providers/data/whatsapp"
WHATSAPP_SAMPLES = sorted(WHATSAPP.glob("*.json"))


@pytest.fixture
def guarded_client(sqlite_url: str) -> Iterator[FlaskClient]:
    with application(sqlite_url, api_token=Secrets(TOKEN)) as made:
        yield made


def documented_form(rule: Rule) -> set[str]:
    """The paths of the document that a route stands for."""
    if rule.rule == "/webhook/<name>":
        names = [provider.name for provider in PROVIDERS if provider.name != "native"]
        known = {f"/webhook/{name}" for name in names if "POST" in (rule.methods or ()) or name == "whatsapp"}
        return {*known, "/webhook/{source}"}
    return {re.sub(r"<(?:\w+:)?(\w+)>", r"{\1}", rule.rule)}


def parameters(operation: dict[str, Any], place: str) -> set[str]:
    """The names of an operation's parameters in one place."""
    return {parameter["name"] for parameter in operation["parameters"] if parameter["in"] == place}


def examples(part: Any, schema: dict[str, Any] | None = None) -> Iterator[tuple[Any, dict[str, Any]]]:
    """Every example of the document with the schema that it is an example of."""
    if isinstance(part, list):
        for inner in part:
            yield from examples(inner)
    elif isinstance(part, dict):
        if "example" in part:
            yield (
                part["example"],
                part.get("schema", {name: value for name, value in part.items() if name != "example"}),
            )
        for name, inner in part.items():
            if name != "example":
                yield from examples(inner)


def references(part: Any) -> Iterator[str]:
    """Every reference from one part of the document to another."""
    if isinstance(part, dict):
        if isinstance(part.get("$ref"), str):
            yield part["$ref"]
        part = list(part.values())
    if isinstance(part, list):
        for inner in part:
            yield from references(inner)


def optional_fields(schema: dict[str, Any]) -> set[str]:
    """The names of the fields that an answer may lack, at any depth."""
    found = resolve(schema)
    properties = found.get("properties", {})
    missing: set[str] = properties.keys() - set(found.get("required", ()))
    inner = [optional_fields(field["items"]) for field in properties.values() if "items" in field]
    return missing.union(*inner)


def test_the_document_is_sound_openapi() -> None:
    validate_document(DOCUMENT)


def test_every_reference_leads_somewhere() -> None:
    found = set(references(DOCUMENT))

    assert "#/components/headers/Allow" in found
    for reference in found:
        part = DOCUMENT
        for name in reference.removeprefix("#/").split("/"):
            assert name in part, reference
            part = part[name]


def test_every_route_is_documented_and_no_other(sqlite_client: FlaskClient) -> None:
    routes = {
        (path, method.lower())
        for rule in sqlite_client.application.url_map.iter_rules()
        if rule.rule not in PARTS_OF_THE_PAGE and not rule.endpoint.startswith("dashboard")
        for path in documented_form(rule)
        for method in (rule.methods or set()) - {"HEAD", "OPTIONS"}
    }

    assert {(path, method) for path, method, _ in operations()} == routes


@pytest.mark.parametrize(
    ("path", "operation"),
    [
        pytest.param(path, operation, id=operation["operationId"])
        for path, method, operation in operations()
        if method == "get" and operation["security"]
    ],
)
def test_a_read_knows_the_documented_parameters_and_no_other(
    path: str, operation: dict[str, Any], sqlite_client: FlaskClient
) -> None:
    answer = sqlite_client.get(path.format(message_id="a", entry_id="1", name="a") + "?unheard_of=1")

    (advice,) = answer.get_json()["errors"]["unheard_of"]
    _, _, known = advice.removesuffix(".").partition("Known ones: ")
    assert set(known.split(", ")) - {""} == parameters(operation, "query")


def test_every_example_is_valid() -> None:
    found = list(examples(DOCUMENT))

    assert len(found) > 40
    for example, schema in found:
        validate(example, schema)


def test_every_read_is_for_who_has_the_token_and_nothing_else_is() -> None:
    protected = {
        path for path, _, operation in operations() if operation["security"] == [{"Bearer": []}, {"Basic": []}]
    }
    open_to_all = {path for path, _, operation in operations() if operation["security"] == []}

    assert open_to_all == {path for path in DOCUMENT["paths"] if path.startswith(("/webhook", "/health", "/metrics"))}
    assert protected == DOCUMENT["paths"].keys() - open_to_all


def test_the_page_for_people_names_every_call_and_no_other() -> None:
    named = set(re.findall(r"`(?:GET|POST|PUT|DELETE) (/[^`? ]*)", HTTP_PAGE)) | set(
        re.findall(r"`(/webhook/\w+)`", HTTP_PAGE)
    )
    documented = {
        re.sub(r"{(\w+)}", r"<\1>", re.sub("{(?:entry|dead_letter)_id}", "{id}", path)) for path in DOCUMENT["paths"]
    }

    assert named == documented


def test_the_page_for_people_names_every_parameter() -> None:
    for _, _, operation in operations():
        for name in parameters(operation, "query"):
            assert f"`{name}`" in HTTP_PAGE or f"`{name}`" in (ROOT / "docs/feed.md").read_text() or "." in name, name


def test_every_error_has_the_one_form() -> None:
    for _, _, operation in operations():
        for status, answer in operation["responses"].items():
            if int(status.replace("X", "0")) >= 400:
                schema = resolve(resolve(answer)["content"]["application/json"]["schema"])
                assert {"detail"} <= schema["properties"].keys()


@pytest.mark.parametrize("sample", WHATSAPP_SAMPLES, ids=lambda sample: sample.stem)
def test_what_whatsapp_sends_is_as_documented(sample: Path) -> None:
    content = json.loads(sample.read_text())

    if not content["expected"]["unreadable"]:
        validate(content["delivery"], resolve({"$ref": "#/components/schemas/WhatsAppPayload"}))


def test_what_twilio_sends_is_as_documented() -> None:
    twilio = Twilio(Secrets("token"), {"PUBLIC_URL": "https://inbox.example.com"})

    form = dict(parse_qsl(twilio.sample(MESSAGE).body.decode()))
    validate(form, resolve({"$ref": "#/components/schemas/TwilioPayload"}))


@pytest.mark.parametrize("provider", [Native(Secrets("secret"), {}), Standard(Secrets("whsec_c2VjcmV0"), {})])
def test_a_native_payload_is_as_documented(provider: Provider) -> None:
    schema = resolve({"$ref": "#/components/schemas/NativePayload"})

    validate(json.loads(provider.sample(MESSAGE).body), schema)
    assert schema["properties"].keys() == {"message_id", "from", "to", "ts", "text"}


def test_fields_that_may_be_missing_are_there_when_there_is_something_to_say(sqlite_url: str) -> None:
    secrets = {"native": Secrets(SECRET), "whatsapp": Secrets("app-secret")}
    options: dict[str, dict[str, str]] = {"native": {}, "whatsapp": {"WHATSAPP_VERIFY_TOKEN": "a"}}
    failed = json.dumps(json.loads((WHATSAPP / "status_failed.json").read_text())["delivery"]).encode()
    with application(sqlite_url, provider_secrets=secrets, provider_options=options) as client:
        deliver(client, payload(campaign=7))
        signature = f"sha256={whatsapp.sign('app-secret', failed).hex()}"
        client.post("/webhook/whatsapp", data=failed, headers={whatsapp.SIGNATURE_HEADER: signature})
        (message,) = client.get("/messages").get_json()["data"]
        client.post("/dashboard/setup/native/test", headers={"Sec-Fetch-Site": "same-origin"})
        (test,) = (each for each in client.get("/messages").get_json()["data"] if "test" in each)
        (receipt,) = client.get("/receipts").get_json()["data"]

    schemas = DOCUMENT["components"]["schemas"]
    assert message.keys() | test.keys() == schemas["Message"]["properties"].keys()
    assert receipt.keys() == schemas["Receipt"]["properties"].keys()
    optional = {
        field
        for path, _, operation in operations()
        for answer in operation["responses"].values()
        for content in resolve(answer).get("content", {}).values()
        for field in optional_fields(content["schema"])
    }
    # test_replica.py sees age_seconds, test_quarantine_limits.py the warnings, test_consumers.py the names.
    assert optional == {
        *("extra", "test", "error", "age_seconds", "warnings", "created", "duplicate", "conflict"),
        *("consumer", "destination"),
    }


def test_providers_payloads_are_webhooks_of_the_document() -> None:
    assert DOCUMENT["webhooks"].keys() == {provider.name for provider in PROVIDERS}
    for name, webhook in DOCUMENT["webhooks"].items():
        path = "/webhook" if name == "native" else f"/webhook/{name}"
        assert webhook["post"]["requestBody"] == DOCUMENT["paths"][path]["post"]["requestBody"]


@pytest.mark.parametrize("path", ["/openapi.json", "/docs"])
def test_the_contract_is_for_readers(path: str, guarded_client: FlaskClient) -> None:
    assert guarded_client.get(path).status_code == 401
    assert guarded_client.get(path, headers=BEARER).status_code == 200


def test_the_document_knows_the_prefix_that_the_service_is_below(sqlite_client: FlaskClient) -> None:
    answer = sqlite_client.get("/openapi.json", environ_overrides={"SCRIPT_NAME": "/inbox"})

    assert answer.get_json()["servers"] == [{"url": "/inbox"}]
    assert sqlite_client.get("/openapi.json").get_json() == DOCUMENT


def test_the_page_runs_no_script_but_its_own(sqlite_client: FlaskClient) -> None:
    answer = sqlite_client.get("/docs")
    policy = answer.headers["Content-Security-Policy"]

    assert "default-src 'none'; script-src 'self';" in policy
    assert "unsafe" not in policy.partition("script-src")[2].partition(";")[0]
    assert answer.headers["X-Content-Type-Options"] == "nosniff"
    assert re.findall(r"<script(?![^>]* src=)", answer.text) == []
    assert "//" not in answer.text


def test_the_parts_of_the_page_are_kept_for_as_long_as_their_content_is_the_same(sqlite_client: FlaskClient) -> None:
    named = re.findall(r'(?:src|href)="(docs/[^"]+)"', sqlite_client.get("/docs").text)

    assert len(named) == len(docs_page.DocsPage.read().parts)
    for part in named:
        answer = sqlite_client.get(f"/{part}")
        assert answer.status_code == 200
        assert "immutable" in answer.headers["Cache-Control"]
        assert answer.headers["X-Content-Type-Options"] == "nosniff"
        assert sqlite_client.get("/" + re.sub("/[0-9a-f]+/", "/0/", part)).status_code == 404
