"""Two servers on one PostgreSQL that get the same messages at the same time."""

import random
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from tests.support.deliveries import to_bytes
from tests.support.metrics import value
from tests.support.server import Server
from tests.support.stored import stored_ids
from webhook_service.providers.native import sign
from webhook_service.providers.whatsapp import SIGNATURE_HEADER

SECRET = "the-app-secret-of-the-tests"
MESSAGES = 300
BATCH = 20
DELIVERIES = 200
THREADS = 16


def whatsapp_server(url: str) -> Server:
    return Server(url, WHATSAPP_APP_SECRET=SECRET, WHATSAPP_VERIFY_TOKEN="token")


def whatsapp_payload(message_ids: list[str]) -> dict[str, Any]:
    messages = [
        {"from": "4915112345678", "id": message_id, "timestamp": "1739321024", "type": "text", "text": {"body": "Hi"}}
        for message_id in message_ids
    ]
    value = {
        "messaging_product": "whatsapp",
        "metadata": {"display_phone_number": "15550783881", "phone_number_id": "1"},
        "messages": messages,
    }
    changes = [{"field": "messages", "value": value}]
    return {"object": "whatsapp_business_account", "entry": [{"id": "1", "changes": changes}]}


def deliver(server: Server, message_ids: list[str]) -> int:
    body = to_bytes(whatsapp_payload(message_ids))
    return server.post("/webhook/whatsapp", body, {SIGNATURE_HEADER: "sha256=" + sign(SECRET, body)}).status


def counted(servers: list[Server], outcome: str) -> float:
    labels = {"provider": "whatsapp", "kind": "message", "outcome": outcome}
    return sum(value(server, "webhook_items_total", **labels) for server in servers)


def test_overlapping_batches_at_two_servers_are_stored_once_and_counted_once(postgresql_url: str) -> None:
    message_ids = [f"wamid.{number}" for number in range(MESSAGES)]
    batches = [random.sample(message_ids, BATCH) for _ in range(DELIVERIES)]
    delivered = {message_id for batch in batches for message_id in batch}

    with whatsapp_server(postgresql_url) as first, whatsapp_server(postgresql_url) as second:
        servers = [first, second]
        with ThreadPoolExecutor(THREADS) as threads:
            statuses = list(threads.map(deliver, servers * (DELIVERIES // 2), batches))
        created, duplicate = counted(servers, "created"), counted(servers, "duplicate")

    assert statuses == [200] * DELIVERIES
    assert sorted(stored_ids(postgresql_url)) == sorted(delivered)
    assert (created, duplicate) == (len(delivered), DELIVERIES * BATCH - len(delivered))
