"""The samples, sent to the service as the providers would."""

import base64
import os
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import pytest

from tests.support.provider_deliveries import MESSAGE
from webhook_service.app import create_app
from webhook_service.providers.base import Provider
from webhook_service.providers.registry import PROVIDERS
from webhook_service.providers.twilio import SIGNATURE_HEADER, sign
from webhook_service.settings import Settings
from webhook_service.storage.migrate import migrate


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    settings = Settings.from_env(
        {
            "DATABASE_URL": f"sqlite:///{tmp_path}/app.db",
            "WEBHOOK_SECRET": "native-secret",
            "STANDARD_WEBHOOKS_SECRET": "whsec_c3RhbmRhcmQtc2VjcmV0",
            "WHATSAPP_APP_SECRET": "app-secret",
            "WHATSAPP_VERIFY_TOKEN": "verify-token",
            "TWILIO_AUTH_TOKEN": "auth-token",
            "PUBLIC_URL": "https://inbox.example.com/hooks/",
        }
    )
    migrate(settings.database_url)
    return settings


@pytest.mark.parametrize("provider", PROVIDERS, ids=lambda provider: provider.name)
def test_a_sample_is_accepted_and_acknowledged_in_the_providers_way(
    provider: type[Provider], settings: Settings
) -> None:
    client = create_app(settings, find_users=lambda _environ: {os.geteuid()}).test_client()
    sender = provider(settings.provider_secrets[provider.name], settings.provider_options[provider.name])
    sample = sender.sample(replace(MESSAGE, received_at=datetime.now(UTC)))

    response = client.post(sample.path, data=sample.body, headers=dict(sample.headers))

    assert response.status_code == 200
    assert response.data == provider.acknowledgement.body
    assert response.content_type == provider.acknowledgement.content_type
    (stored,) = client.get("/messages").get_json()["data"]
    assert (stored["message_id"], stored["provider"], stored["text"]) == ("m-1", provider.name, MESSAGE.text)


@pytest.mark.parametrize("query", ["?account=7&b=%C3%BC", "?q='a+b'"])
def test_the_query_that_twilio_signs_arrives_as_it_was_sent(query: str, settings: Settings) -> None:
    client = create_app(settings, find_users=lambda _environ: {os.geteuid()}).test_client()
    fields = {"MessageSid": "SM1", "From": "+14155550100", "To": "+14155550199", "Body": "Hi", "SmsStatus": "received"}
    signature = sign("auth-token", f"https://inbox.example.com/hooks/webhook/twilio{query}", fields.items())
    headers = {SIGNATURE_HEADER: base64.b64encode(signature).decode()}

    response = client.post(f"/webhook/twilio{query}", data=fields, headers=headers)

    assert response.status_code == 200
