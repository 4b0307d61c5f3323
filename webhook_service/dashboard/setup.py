"""Setting up: what to enter at each provider, and whether its first delivery has arrived."""

from collections.abc import Mapping
from dataclasses import dataclass

from flask import abort, render_template, request

from webhook_service.dashboard.pages import Pages
from webhook_service.domain.messages import MessageFilter, MessageQuery, Order, StoredMessage
from webhook_service.providers.native import Native
from webhook_service.providers.registry import PROVIDERS
from webhook_service.providers.source import Source, Sources
from webhook_service.providers.standard import Standard
from webhook_service.providers.twilio import PUBLIC_URL, Twilio
from webhook_service.providers.whatsapp import WhatsApp
from webhook_service.storage.database import Database
from webhook_service.storage.queries.pages import read_page
from webhook_service.storage.queries.quarantine import read_sizes


@dataclass(frozen=True, slots=True)
class Guide:
    """Where to enter the address at a provider, and what else goes into which field there."""

    place: str
    address_field: str
    fields: Mapping[str, str]


# As the providers name them: docs/providers.md has their pages.
_GUIDES: Mapping[str, Guide] = {
    Native.name: Guide(
        "Your own program, which sends JSON",
        "POST to",
        {
            "X-Signature": "HMAC-SHA256 of the body with WEBHOOK_SECRET, as hex",
            "Body": "message_id, from, to, ts, text",
        },
    ),
    Standard.name: Guide(
        "Your sender's webhook settings",
        "Endpoint URL",
        {"Signing secret": "the value of STANDARD_WEBHOOKS_SECRET (whsec_…)"},
    ),
    WhatsApp.name: Guide(
        "Meta's App Dashboard, WhatsApp, Configuration, Webhook",
        "Callback URL",
        {"Verify token": "the value of WHATSAPP_VERIFY_TOKEN", "Webhook fields": "subscribe to messages"},
    ),
    Twilio.name: Guide(
        "Twilio's Console, your number or messaging service, Messaging",
        "A message comes in",
        {"Method": "HTTP POST", "PUBLIC_URL": "the base of this address, exactly as Twilio calls it"},
    ),
}
_OTHER = Guide("The provider's webhook settings", "URL", {})


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
            (_progress(database, name), _GUIDES.get(source.provider.name, _OTHER), _address(source), command(name))
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
