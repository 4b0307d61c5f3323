"""Destinations as JSON."""

from typing import Any
from urllib.parse import urlsplit, urlunsplit

from webhook_service.domain.destinations import DestinationReport, Target
from webhook_service.schemas.feed import FEED_CURSORS

NEW = "new"
"""The state that is shown for a destination that no forwarder knows yet."""


def present_destination(report: DestinationReport) -> dict[str, Any]:
    """Converts a destination and how it is doing to its JSON object, for ``encode_json``."""
    health, lag = report.health, report.lag
    return {
        "name": report.name,
        "url": None if report.target is None else present_url(report.target),
        "state": NEW if report.place is None else health.state,
        "held_until": health.held_until,
        "place": None if report.place is None else FEED_CURSORS.write(report.place),
        "lag": lag and {"messages": lag.messages, "is_exact": lag.is_exact, "seconds": lag.seconds},
        "pushed": health.pushed,
        "failed": health.failed,
        "retries": report.retries,
        "retries_is_exact": report.retries_is_exact,
        "dead_letters": report.dead_letters,
        "last_pushed_at": health.last_pushed_at,
        "last_failed_at": health.last_failed_at,
        "last_failure": health.last_failure,
        "last_status": health.last_status,
    }


def present_url(target: Target) -> str:
    """Writes a destination's URL without its query, which may hold a token."""
    parts = urlsplit(target.url)
    return urlunsplit(parts._replace(query=""))
