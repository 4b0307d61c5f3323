"""The view with the service's storage behind it and nothing else: no signature, no validation, no metric, no log line.

What it reaches is the most that the service could, if all that it does besides storing cost nothing.
"""

import json
from datetime import UTC, datetime

from flask import Flask, Response, request

from webhook_service.domain import Contents, Message
from webhook_service.inbox import Inbox
from webhook_service.settings import Settings
from webhook_service.storage.database import Database

settings = Settings.from_env()
inbox = Inbox(Database(settings.database_url, pool_size=settings.threads))
app = Flask(__name__)


@app.post("/webhook")
def receive() -> Response:
    """Stores a native payload, taken on trust, and answers as the service does."""
    payload = json.loads(request.get_data(cache=False))
    message = Message(
        message_id=payload["message_id"],
        provider="native",
        sender=payload["from"],
        recipient=payload["to"],
        ts=datetime.fromisoformat(payload["ts"]),
        received_at=datetime.now(UTC),
        text=payload["text"],
    )
    inbox.accept(Contents(messages=(message,)))
    return Response(b'{"status":"ok"}', content_type="application/json")
