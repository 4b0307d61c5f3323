"""``webhook-service forward``."""

import logging
import signal
import sys
import threading
from types import FrameType

import click

from webhook_service.commands.cli_errors import naming, plain_failures
from webhook_service.outlet.forwarder import LEASE_SECONDS, Forwarder
from webhook_service.settings import Settings, SettingsInvalid
from webhook_service.storage.database import Database

CONNECTIONS = 2  # to the database, for the one thread of a forwarder that reads and writes

_log = logging.getLogger(__name__)


@click.command()
@click.option(
    "--lease-seconds",
    default=LEASE_SECONDS,
    show_default=True,
    type=click.FloatRange(1, 3600),
    help="Time after which other forwarders take over what one that died had in hand.",
)
def forward(lease_seconds: float) -> None:
    """Push messages to the destinations that the file of configuration declares, until it is stopped.

    Any number of these may run, on any number of machines: they share the work.
    """
    stop = _stop_signal()
    logging.basicConfig(stream=sys.stderr, format="%(asctime)s %(levelname)s %(message)s", level=logging.INFO)
    # Of a malformed answer it would write what the receiver sent, and the URL, which may hold a token.
    logging.getLogger("urllib3").setLevel(logging.ERROR)
    with plain_failures():
        settings = Settings.from_env()
        if not settings.configuration.destinations:
            raise SettingsInvalid(["no destination is declared: [destinations.NAME] in webhook-service.toml does it"])
    database = Database(settings.database_url, pool_size=CONNECTIONS)
    try:
        forwarder = Forwarder(database, list(settings.configuration.destinations.values()), lease_seconds)
        with naming(settings.database_url):
            undeclared = forwarder.register()
        for name in undeclared:
            _log.warning("destination %s is declared no more; its place in the feed is kept", name)
        _log.info("pushing to %s", ", ".join(sorted(settings.configuration.destinations)))
        forwarder.run(stop)
        _log.info("stopped")
    finally:
        database.close()


def _stop_signal() -> threading.Event:
    """Returns an event that SIGTERM and SIGINT set; a second such signal ends the process at once."""
    stop = threading.Event()

    def begin_to_stop(number: int, _frame: FrameType | None) -> None:
        stop.set()
        signal.signal(number, signal.SIG_DFL)

    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, begin_to_stop)
    return stop
