"""Destinations as JSON."""

from typing import Any
from urllib.parse import urlsplit, urlunsplit

from webhook_service.domain.destinations import DestinationStatus, Target
from webhook_service.schemas.feed import FEED_CURSORS

NEW = "new"
"""The state that is shown for a destination that no forwarder knows yet."""


def present_destination(status: DestinationStatus) -> dict[str, Any]:
    """Converts a destination and how it is doing to its JSON object, for ``encode_json``."""
    standing, lag = status.standing, status.lag
    return {
        "name": status.name,
        "url": None if status.target is None else present_url(status.target),
        "state": NEW if status.place is None else standing.state,
        "held_until": standing.held_until,
        "place": None if status.place is None else FEED_CURSORS.write(status.place),
        "lag": lag and {"messages": lag.messages, "is_exact": lag.is_exact, "seconds": lag.seconds},
        "pushed": standing.pushed,
        "failed": standing.failed,
        "retries": status.retries,
        "dead_letters": status.dead_letters,
        "last_pushed_at": standing.last_pushed_at,
        "last_failed_at": standing.last_failed_at,
        "last_failure": standing.last_failure,
        "last_status": standing.last_status,
    }


def present_url(target: Target) -> str:
    """Writes a destination's URL without its query, which may hold a token."""
    parts = urlsplit(target.url)
    return urlunsplit(parts._replace(query=""))
