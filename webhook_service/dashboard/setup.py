"""Setting up: what to enter at each provider, and whether its first delivery has arrived."""

from dataclasses import dataclass

from flask import abort, render_template, request

from webhook_service.dashboard.pages import Pages
from webhook_service.domain.messages import MessageFilter, MessageQuery, Order, StoredMessage
from webhook_service.providers.guides import setup_of
from webhook_service.providers.native import Native
from webhook_service.providers.registry import PROVIDERS
from webhook_service.providers.source import Source, Sources
from webhook_service.providers.twilio import PUBLIC_URL
from webhook_service.storage.database import Database
from webhook_service.storage.queries.pages import read_page
from webhook_service.storage.queries.quarantine import read_sizes


@dataclass(frozen=True, slots=True)
class Progress:
    """A configured source's latest message, if any, and the number of its deliveries in quarantine."""

    name: str
    latest: StoredMessage | None
    quarantined: int


def setup_pages(database: Database, sources: Sources) -> Pages:
    """Routes that help to set up the configured ``sources``."""
    pages = Pages("setup")

    @pages.get("/dashboard/setup")
    def show() -> str:
        cards = [
            (_progress(database, name), setup_of(source.provider), _address(source), command(name))
            for name, source in sources.items()
        ]
        kinds = {source.provider.name for source in sources.values()}
        missing = [provider for provider in PROVIDERS if provider.name not in kinds]
        return render_template("setup/list.html", cards=cards, missing=missing)

    @pages.get("/dashboard/setup/<name>")
    def show_progress(name: str) -> str:
        if name not in sources:
            abort(404)
        return render_template("setup/_progress.html", progress=_progress(database, name))

    return pages


def command(name: str) -> str:
    """Returns the command that sends one test message as a source would."""
    chosen = "" if name == Native.name else f"--source {name} "
    return f"webhook-service send {chosen}--url {request.host_url.rstrip('/')}"


def _address(source: Source) -> str:
    base = source.provider.options.get(PUBLIC_URL) or request.host_url
    return base.rstrip("/") + source.path


def _progress(database: Database, name: str) -> Progress:
    with database.snapshot() as snapshot:
        latest = read_page(snapshot, MessageQuery(MessageFilter(source=name), limit=1, order=Order.DESC)).items
        size = read_sizes(snapshot).get(name)
    return Progress(name, latest[0] if latest else None, size.deliveries if size else 0)
