"""Checks of an address by declared providers, which are answered by what they ask."""

from collections.abc import Mapping
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import pytest

from tests.support.app import application
from tests.support.preset_keys import TOKEN, declaration, provider, secret, signing_key
from tests.support.provider_deliveries import MESSAGE
from webhook_service.domain.secrets import Secrets
from webhook_service.providers.base import Provider, Sample
from webhook_service.providers.declarations.schemes import SampleDraft
from webhook_service.providers.declared import Declared, load_declaration


def known(preset: str) -> type[Provider]:
    """A provider that is set up by environment variables, and is declared."""

    class Preset(Declared):
        name = preset
        secret_setting = "PRESET_SECRET"

        def __init__(self, secrets: Secrets, _options: Mapping[str, str]) -> None:
            super().__init__(declaration(preset), secrets, signing_key=signing_key(preset))

    return Preset


def signed(preset: str, content: Any) -> Sample:
    """A delivery of the provider's with this body."""
    draft = SampleDraft(f"/webhook/{preset}", content, datetime.now(UTC), False, {"Content-Type": "application/json"})
    draft.private_key = signing_key(preset)
    declaration(preset).scheme(Secrets(secret(preset))).sign(draft)
    return Sample(draft.target, draft.raw(), draft.headers)


@pytest.mark.parametrize(
    ("preset", "content", "status", "body"),
    [
        ("slack", {"type": "url_verification", "challenge": "a-challenge"}, 200, b"a-challenge"),
        ("discord", {"type": 1}, 200, b'{"type":1}'),
        ("discord-events", {"type": 0}, 204, b""),
    ],
)
def test_a_signed_check_by_post_is_answered_and_stores_nothing(
    preset: str, content: Any, status: int, body: bytes, sqlite_url: str
) -> None:
    check = signed(preset, content)
    settings: dict[str, Any] = {
        "provider_secrets": {preset: Secrets(secret(preset))},
        "provider_options": {preset: {}},
    }
    with application(sqlite_url, [known(preset)], **settings) as client:
        response = client.post(check.path, data=check.body, headers=dict(check.headers))
        stored = client.get("/messages").get_json()["data"]

    assert (response.status_code, response.data) == (status, body)
    assert ("Content-Length" in response.headers) == (status != 204)
    assert stored == []


def test_a_check_that_is_not_signed_is_refused(sqlite_url: str) -> None:
    check = signed("discord", {"type": 1})
    forged = replace(check, headers={**check.headers, "X-Signature-Ed25519": "0" * 128})
    settings: dict[str, Any] = {
        "provider_secrets": {"discord": Secrets(secret("discord"))},
        "provider_options": {"discord": {}},
    }
    with application(sqlite_url, [known("discord")], **settings) as client:
        response = client.post(forged.path, data=forged.body, headers=dict(forged.headers))

    assert response.status_code == 401


@pytest.mark.parametrize(("token", "status"), [(TOKEN, 200), ("another", 403)])
def test_a_check_by_get_is_answered_to_whoever_knows_the_token(token: str, status: int, sqlite_url: str) -> None:
    settings: dict[str, Any] = {
        "provider_secrets": {"messenger": Secrets("secret")},
        "provider_options": {"messenger": {}},
    }
    query = {"hub.mode": "subscribe", "hub.challenge": "1158", "hub.verify_token": token}
    with application(sqlite_url, [known("messenger")], **settings) as client:
        response = client.get("/webhook/messenger", query_string=query)

    assert response.status_code == status
    assert (response.data == b"1158") == (status == 200)


def test_what_a_mapping_cannot_read_is_kept_and_comes_in_once_the_mapping_is_mended(sqlite_url: str) -> None:
    sample = provider("github").sample(replace(MESSAGE, received_at=datetime.now(UTC)))
    headers = {name: value for name, value in sample.headers.items() if name != "X-GitHub-Event"}
    settings: dict[str, Any] = {
        "provider_secrets": {"github": Secrets(secret("github"))},
        "provider_options": {"github": {}},
    }
    with application(sqlite_url, [known("github")], **settings) as client:
        response = client.post(sample.path, data=sample.body, headers=headers)
        (kept,) = client.get("/quarantine").get_json()["data"]

    assert response.status_code == 200
    assert kept["reason"] == "invalid_fields"

    class Mended(Declared):
        name = "github"
        secret_setting = "PRESET_SECRET"

        def __init__(self, secrets: Secrets, _options: Mapping[str, str]) -> None:
            own = {"provider": "github", "payload": {"type": "item.action"}}
            super().__init__(load_declaration(own), secrets)

    with application(sqlite_url, [Mended], **settings) as client:
        replayed = client.post(f"/quarantine/{kept['id']}/replay")
        (message,) = client.get("/messages").get_json()["data"]

    assert replayed.status_code == 200
    assert (message["message_id"], message["type"]) == ("m-1", "opened")
