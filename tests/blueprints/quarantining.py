"""An application whose quarantine tests fill, look at and empty."""

from collections.abc import Iterator
from typing import Any, ClassVar

from flask.testing import FlaskClient
from werkzeug.test import TestResponse

from tests.support.app import application
from tests.support.deliveries import SECRET
from tests.support.whatsapp import a_message
from webhook_service.domain.deliveries import Contents, Delivery
from webhook_service.domain.secrets import Secrets
from webhook_service.providers.native import Native
from webhook_service.providers.registry import PROVIDERS
from webhook_service.providers.whatsapp import WhatsApp

GOOD = a_message("wamid.good")
BAD = {"id": "wamid.bad", "type": "text", "text": {"body": "Hi"}}


class Changing(Native):
    """A provider whose parser gets fixed in the course of a test."""

    name = "changing"
    secret_setting = "CHANGING_SECRET"
    understands: ClassVar[bool] = False
    fails_with: ClassVar[type[Exception]] = RuntimeError

    def parse(self, delivery: Delivery) -> Contents:
        if not type(self).understands:
            raise type(self).fails_with("Hello from +4915112345678")
        return super().parse(delivery)


def with_quarantine(database_url: str) -> Iterator[FlaskClient]:
    """A client of an application with a provider that can be fixed."""
    secrets = {Native.name: Secrets(SECRET), WhatsApp.name: Secrets(SECRET), Changing.name: Secrets(SECRET)}
    options = {Native.name: {}, WhatsApp.name: {"WHATSAPP_VERIFY_TOKEN": "token"}, Changing.name: {}}
    Changing.understands, Changing.fails_with = False, RuntimeError
    with application(
        database_url, known_providers=(*PROVIDERS, Changing), provider_secrets=secrets, provider_options=options
    ) as made:
        yield made


def quarantined(client: FlaskClient) -> list[dict[str, Any]]:
    """Returns the deliveries that ``/quarantine`` lists."""
    listed: list[dict[str, Any]] = client.get("/quarantine").get_json()["data"]
    return listed


def stored_ids(client: FlaskClient) -> list[str]:
    """The IDs of all messages."""
    return [message["message_id"] for message in client.get("/messages").get_json()["data"]]


def replay(client: FlaskClient, entry_id: int) -> TestResponse:
    """Another try."""
    return client.post(f"/quarantine/{entry_id}/replay")
