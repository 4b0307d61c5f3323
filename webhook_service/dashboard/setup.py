"""Setting up: a guide for each source, a check for its first delivery, and a test message."""

from dataclasses import dataclass
from datetime import datetime

from flask import abort, render_template, request

from webhook_service.dashboard.pages import Pages, is_for
from webhook_service.dashboard.shell import Shell
from webhook_service.domain.activity import Activity, DeliveryOutcome
from webhook_service.domain.messages import MessageFilter, MessageQuery, Order
from webhook_service.domain.results import Result
from webhook_service.domain.sources import SetupGuide
from webhook_service.domain.verdicts import Verdict
from webhook_service.intake.operator_tests import can_be_tested, send_test_message
from webhook_service.intake.take_in import Intake
from webhook_service.providers.guides import guide_to
from webhook_service.providers.registry import PROVIDERS
from webhook_service.providers.source import Source
from webhook_service.providers.twilio import PUBLIC_URL
from webhook_service.storage.database import Database
from webhook_service.storage.queries.activity import read_latest
from webhook_service.storage.queries.pages import read_page
from webhook_service.storage.queries.quarantine import read_sizes
from webhook_service.web.context import current_request

_STORED = (DeliveryOutcome.CREATED, DeliveryOutcome.DUPLICATE)


@dataclass(frozen=True, slots=True)
class Progress:
    """The deliveries of a configured source so far.

    ``received_at`` is when something of it was last stored, if ever; ``refused`` are the refused deliveries of the
    latest hour with any, if they are newer than that; ``quarantined`` is the number of those in quarantine.
    """

    name: str
    received_at: datetime | None
    refused: Activity | None
    quarantined: int


@dataclass(frozen=True, slots=True)
class TestResult:
    """The result of sending a test message; ``problem`` says why it was not stored, and is None if it was."""

    message_id: str
    problem: str | None


def setup_pages(database: Database, intake: Intake, shell: Shell) -> Pages:
    """Makes the routes that help to set up the configured sources."""
    pages = Pages("setup", home="show")
    sources = intake.sources

    @pages.get("/dashboard/setup")
    def show() -> str:
        return _show_list()

    def _show_list(tested: str = "", result: TestResult | None = None) -> str:
        cards = [(_progress(database, name), *_instructions(source, shell)) for name, source in sources.items()]
        kinds = {source.provider.name for source in sources.values()}
        missing = [provider for provider in PROVIDERS if provider.name not in kinds]
        return render_template("setup/list.html", cards=cards, missing=missing, tested=tested, result=result)

    @pages.get("/dashboard/setup/<name>")
    def show_progress(name: str) -> str:
        if name not in sources:
            abort(404)
        current_request().is_routine = True
        return render_template("setup/_progress.html", progress=_progress(database, name))

    @pages.post("/dashboard/setup/<name>/test")
    def send_test(name: str) -> str:
        if name not in sources or not can_be_tested(sources[name]):
            abort(404)
        message_id, verdict = send_test_message(intake, sources[name])
        result = TestResult(message_id, _problem(verdict))
        if is_for(f"test-{name}"):
            return render_template("setup/_test.html", result=result)
        return _show_list(name, result)

    return pages


def _problem(verdict: Verdict) -> str | None:
    """Returns why a test message was not stored; a delivery may be accepted although nobody understood its message."""
    if verdict.result is Result.CREATED:
        return None
    where = f" ({', '.join(verdict.problems)})" if verdict.problems else ""
    return verdict.detail or f"{verdict.reason or verdict.result}{where}"


def _instructions(source: Source, shell: Shell) -> tuple[SetupGuide, str, str, bool]:
    """Returns the guide, the address, the command that sends a message, and whether a test message can be signed."""
    command = shell.command_to_send(source.name, request.host_url.rstrip("/"))
    return guide_to(source.provider), _address(source), command, can_be_tested(source)


def _address(source: Source) -> str:
    base = source.provider.options.get(PUBLIC_URL) or request.host_url
    return base.rstrip("/") + source.path


def _progress(database: Database, name: str) -> Progress:
    wanted = MessageQuery(MessageFilter(source=name, for_programs=True), limit=1, order=Order.DESC)
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
