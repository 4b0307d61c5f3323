"""Setting up: what to enter at each provider, whether its first delivery has arrived, and a test message."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime

from flask import abort, render_template, request

from webhook_service.dashboard.pages import Pages, is_for
from webhook_service.domain.activity import Activity, DeliveryOutcome
from webhook_service.domain.messages import MessageFilter, MessageQuery, Order
from webhook_service.intake.take_in import Intake
from webhook_service.intake.testing import send_test_message
from webhook_service.providers.base import Provider
from webhook_service.providers.native import Native
from webhook_service.providers.registry import PROVIDERS
from webhook_service.providers.standard import Standard
from webhook_service.providers.twilio import PUBLIC_URL, Twilio
from webhook_service.providers.whatsapp import WhatsApp
from webhook_service.storage.database import Database
from webhook_service.storage.queries.activity import read_latest
from webhook_service.storage.queries.pages import read_page
from webhook_service.storage.queries.quarantine import read_sizes
from webhook_service.web.context import current_request


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
_STORED = (DeliveryOutcome.CREATED, DeliveryOutcome.DUPLICATE)
_OTHER = Guide("The provider's webhook settings", "URL", {})


@dataclass(frozen=True, slots=True)
class Progress:
    """What came from a configured provider so far.

    ``received_at`` is when something of it was last stored, if anything was; ``refused`` are its refused deliveries of
    the latest hour that had any, if they are newer than that; ``quarantined`` is how many are in quarantine.
    """

    name: str
    received_at: datetime | None
    refused: Activity | None
    quarantined: int


@dataclass(frozen=True, slots=True)
class TestResult:
    """What became of a test message; ``problem`` says why it is not stored, None when it is."""

    message_id: str
    problem: str | None


def setup_pages(database: Database, intake: Intake) -> Pages:
    """Routes that help to set up the configured providers."""
    pages = Pages("setup")
    providers = intake.providers

    @pages.get("/dashboard/setup")
    def show() -> str:
        return _show_list()

    def _show_list(tested: str = "", result: TestResult | None = None) -> str:
        cards = [
            (_progress(database, name), _GUIDES.get(name, _OTHER), _address(provider), command(name))
            for name, provider in providers.items()
        ]
        missing = [provider for provider in PROVIDERS if provider.name not in providers]
        return render_template("setup/list.html", cards=cards, missing=missing, tested=tested, result=result)

    @pages.get("/dashboard/setup/<name>")
    def show_progress(name: str) -> str:
        if name not in providers:
            abort(404)
        current_request().is_routine = True
        return render_template("setup/_progress.html", progress=_progress(database, name))

    @pages.post("/dashboard/setup/<name>/test")
    def send_test(name: str) -> str:
        if name not in providers:
            abort(404)
        message_id, verdict = send_test_message(intake, providers[name])
        result = TestResult(message_id, None if verdict.accepted else verdict.detail or verdict.reason)
        if is_for(f"test-{name}"):
            return render_template("setup/_test.html", result=result)
        return _show_list(name, result)

    return pages


def command(name: str) -> str:
    """Returns the command that sends one test message as a provider would."""
    chosen = "" if name == Native.name else f"--provider {name} "
    return f"webhook-service send {chosen}--url {request.host_url.rstrip('/')}"


def _address(provider: Provider) -> str:
    base = provider.options.get(PUBLIC_URL) or request.host_url
    return base.rstrip("/") + provider.path()


def _progress(database: Database, name: str) -> Progress:
    wanted = MessageQuery(MessageFilter(provider=name, for_programs=True), limit=1, order=Order.DESC)
    with database.snapshot() as snapshot:
        latest = read_page(snapshot, wanted).items
        stored = [read_latest(snapshot, name, outcome) for outcome in _STORED]
        refused = read_latest(snapshot, name, DeliveryOutcome.REFUSED)
        size = read_sizes(snapshot).get(name)
    moments = [message.received_at for message in latest] + [activity.last_at for activity in stored if activity]
    received_at = max(moments, default=None)
    if refused and received_at and refused.last_at < received_at:
        refused = None
    return Progress(name, received_at, refused, size.deliveries if size else 0)
