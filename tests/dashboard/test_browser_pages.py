"""Setting up, the overview and every page as a person meets them, in a browser against a real server."""

import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Browser, Page, Request, expect

from tests.dashboard.looking import page_with_axe, violations
from tests.support.commands import call_cli
from tests.support.deliveries import payload, signed, to_bytes
from tests.support.server import Server

TRANSFERRED_AT_FIRST = 80 * 1024  # bytes
OPENED = "messages?message=demo-000392"
PAGES = (
    *("messages", "messages?q=order&from=%2B1", "messages?since=yesterday", OPENED, "messages?message=absent"),
    *("messages?message=wamid.out00000", "messages?q=absent", "quarantine", "quarantine/1", "setup", "sign-in"),
    *("overview", "overview?interval=hour", "overview?interval=hour&since=2020-01-01T00:00", "nothing"),
)


@pytest.fixture(scope="module")
def demo_inbox(sqlite_template: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """A server with an invented inbox, for the tests that change nothing in it."""
    path = shutil.copy(sqlite_template, tmp_path_factory.mktemp("demo") / "app.db")
    with Server(f"sqlite:///{path}", WEB_CONCURRENCY="1") as running:
        assert call_cli("demo", environ=running.environ).returncode == 0
        yield running


def test_setting_up_tells_what_is_wrong_and_turns_green_by_itself(inbox: Server, page: Page, faults: list[str]) -> None:
    raw = to_bytes(payload())
    page.goto("/dashboard/")
    expect(page.locator(".progress")).to_have_text("Waiting for the first delivery")

    inbox.post("/webhook", raw, signed(raw + b"\n"))
    expect(page.locator(".progress")).to_contain_text("Refused: wrong_signature")
    expect(page.locator(".progress")).to_contain_text("another line end")

    inbox.post("/webhook", raw, signed(raw))
    expect(page.locator(".progress .good")).to_contain_text("Received")
    assert faults == []


def test_a_test_message_is_sent_from_the_page_and_shown_as_such(inbox: Server, page: Page, faults: list[str]) -> None:
    page.goto("/dashboard/setup")
    page.get_by_role("button", name="Send a test message").click()
    page.get_by_role("link", name="See the test message").click()

    expect(page.locator("#message")).to_contain_text("A test message")
    expect(page.locator(".row .test")).to_have_text("test")
    assert faults == []


def test_dragging_over_the_chart_zooms_in_and_a_click_shows_messages(
    inbox: Server, page: Page, faults: list[str]
) -> None:
    for day in (14, 15, 16):
        inbox.deliver(payload(message_id=f"m-{day}", ts=f"2025-01-{day}T10:30:00Z", text=f"Day {day}"))
    page.goto("/dashboard/overview?since=2025-01-14T00:00&until=2025-01-17T00:00")

    def at(part: float) -> tuple[float, float]:
        box = page.locator(".u-over").bounding_box()
        assert box is not None
        return box["x"] + box["width"] * part, box["y"] + box["height"] / 2

    page.mouse.move(*at(0.4))
    expect(page.locator("#reading")).to_contain_text("2025-01-15 · 1 messages")
    page.mouse.down()
    page.mouse.move(*at(0.5))
    page.mouse.move(*at(0.6))
    page.mouse.up()
    page.wait_for_url("**/overview?since=2025-01-15T00%3A00&until=2025-01-16T00%3A00&interval=hour")
    expect(page.locator(".legend [data-series=messages]")).to_have_text("Messages 1")

    page.mouse.click(*at((10 + 0.5) / 24))
    page.wait_for_url("**/messages?since=2025-01-15T10%3A00&until=2025-01-15T11%3A00")
    expect(page.locator(".row")).to_contain_text("Day 15")
    assert faults == []


def test_a_phone_shows_which_page_one_is_on(inbox: Server, page: Page) -> None:
    page.set_viewport_size({"width": 360, "height": 800})
    for name in ("setup", "messages"):
        page.goto(f"/dashboard/{name}")
        expect(page.locator(".top nav [aria-current]")).to_be_in_viewport(ratio=1)


@pytest.mark.parametrize("width", [360, 768, 1440])
def test_a_field_for_a_time_shows_all_of_it(width: int, inbox: Server, page: Page) -> None:
    page.set_viewport_size({"width": width, "height": 800})
    page.goto("/dashboard/messages?since=2026-11-29T18:00&until=2026-11-29T18:00:30")
    fields = page.locator("input[type=datetime-local]")

    for field in fields.all():
        width_of_content = "field => { field.style.width = 'max-content'; return field.offsetWidth; }"
        given, needed = field.evaluate("field => field.offsetWidth"), field.evaluate(width_of_content)
        assert given >= needed
    expect(fields).to_have_count(2)


@pytest.mark.parametrize("width", [360, 768, 1440])
def test_axe_finds_nothing_and_nothing_is_wider_than_the_screen(
    width: int, browser: Browser, demo_inbox: Server
) -> None:
    with page_with_axe(browser, demo_inbox, width) as page:
        for path in PAGES:
            page.goto(f"/dashboard/{path}")
            if path == OPENED:
                expect(page.locator("#message .text")).to_be_visible()
            assert violations(page) == [], path
            assert page.evaluate("document.documentElement.scrollWidth <= innerWidth"), path


def test_the_first_view_is_small_and_asks_no_other_host(browser: Browser, demo_inbox: Server) -> None:
    context = browser.new_context(base_url=demo_inbox.url)
    page = context.new_page()
    finished: list[Request] = []
    page.on("requestfinished", lambda request: finished.append(request))
    page.goto("/dashboard/messages")
    expect(page.locator("#live")).to_have_text("Live")
    sizes = [request.sizes() for request in finished]

    assert sum(size["responseBodySize"] + size["responseHeadersSize"] for size in sizes) <= TRANSFERRED_AT_FIRST
    assert {request.url.split("/")[2] for request in finished} == {f"127.0.0.1:{demo_inbox.port}"}
    assert len(finished) >= 4
    context.close()


def test_a_page_whose_session_ends_leads_to_the_sign_in_page_and_no_password_box_opens(
    browser: Browser, sqlite_url: str
) -> None:
    with Server(sqlite_url, WEB_CONCURRENCY="1", API_TOKEN="the-token") as guarded:
        context = browser.new_context(base_url=guarded.url)
        page = context.new_page()
        page.goto("/dashboard/messages")
        page.get_by_label("API token").fill("the-token")
        page.get_by_role("button", name="Sign in").click()
        expect(page.locator("#live")).to_have_text("Live")
        asked = passwords_asked(page)

        context.clear_cookies()
        guarded.deliver(payload())

        page.wait_for_url("**/dashboard/sign-in?next=**messages")
        assert asked == []
        context.close()


def passwords_asked(page: Page) -> list[str]:
    """Returns a list to which each address is added for which Chromium would open its password box from now on."""
    asked: list[str] = []
    session = page.context.new_cdp_session(page)

    def proceed(event: dict[str, Any]) -> None:
        session.send("Fetch.continueRequest", {"requestId": event["requestId"]})

    def cancel(event: dict[str, Any]) -> None:
        asked.append(event["request"]["url"])
        answer = {"requestId": event["requestId"], "authChallengeResponse": {"response": "CancelAuth"}}
        session.send("Fetch.continueWithAuth", answer)

    session.on("Fetch.requestPaused", proceed)
    session.on("Fetch.authRequired", cancel)
    session.send("Fetch.enable", {"handleAuthRequests": True})
    return asked
