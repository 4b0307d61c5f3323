"""Destinations whose receivers are those of the tests, and forwarders in threads of this process."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from ipaddress import ip_network
from typing import Any

from tests.support.receivers import Receiver
from webhook_service.domain.consumers import BEGINNING
from webhook_service.domain.destinations import Destination, Retries, Target, Timeouts
from webhook_service.domain.secrets import Secrets
from webhook_service.outlet.forwarder import Forwarder
from webhook_service.storage.database import Database

SECRET = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
LOOPBACK = (ip_network("127.0.0.0/8"),)
AT_ONCE = Retries(first=0.05, longest=0.05, total=600)


def destination(receiver: Receiver | str, name: str = "shop", **fields: Any) -> Destination:
    """Returns a destination that begins with the first message, and tries again at once unless ``fields`` differ."""
    url = receiver if isinstance(receiver, str) else receiver.url
    timeouts = fields.pop("timeouts", Timeouts(connect=5, total=5))
    values: dict[str, Any] = {"start": BEGINNING, "retries": AT_ONCE, **fields}
    return Destination(name, Target(url, Secrets(SECRET), timeouts, LOOPBACK), **values)


@contextmanager
def forwarding(database: Database, *destinations: Destination, lease_seconds: float = 30.0) -> Iterator[Forwarder]:
    """Runs a forwarder during the block, and stops it in an orderly way."""
    forwarder = Forwarder(database, destinations, lease_seconds)
    forwarder.register()
    stop = threading.Event()
    thread = threading.Thread(target=forwarder.run, args=(stop,))
    thread.start()
    try:
        yield forwarder
    finally:
        stop.set()
        thread.join(30)
        assert not thread.is_alive()
