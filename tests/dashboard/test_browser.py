"""What a person notices, in a browser against a real server."""

import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Browser, Page, Request, expect

from tests.dashboard.corpus import HOSTILE_TEXTS
from tests.dashboard.looking import fill, violations
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


def test_a_click_opens_a_message_beside_the_list_under_its_own_address(
    inbox: Server, page: Page, faults: list[str]
) -> None:
    fill(inbox, 3)
    page.goto("/dashboard/messages?q=text")
    page.get_by_text("Text 01").click()

    expect(page.locator("#message .text")).to_have_text("Text 01")
    assert page.url.endswith("?q=text&message=m-01")
    expect(page.locator(".row[aria-current]")).to_contain_text("Text 01")
    page.reload()
    expect(page.locator("#message .text")).to_have_text("Text 01")
    page.locator("#close").click()
    expect(page.locator("#message article")).to_have_count(0)
    page.go_back()
    expect(page.locator("#message .text")).to_have_text("Text 01")
    assert faults == []


def test_scrolling_to_the_end_brings_older_messages(inbox: Server, page: Page, faults: list[str]) -> None:
    fill(inbox, 120)
    page.goto("/dashboard/messages")
    assert page.locator(".row").count() == 50

    for number in (100, 120):
        page.locator(".row").last.scroll_into_view_if_needed()
        page.locator("#list").evaluate("list => list.scrollTop = list.scrollHeight")
        expect(page.locator(".row")).to_have_count(number)

    expect(page.locator(".row").last).to_contain_text("Text 00")
    expect(page.locator("#more")).to_have_count(0)
    assert faults == []


def test_a_page_tells_when_it_is_hidden_and_when_the_server_is_away(inbox: Server, page: Page) -> None:
    page.goto("/dashboard/messages")
    expect(page.locator("#live")).to_have_text("Live")

    hide(page)
    expect(page.locator("#live")).to_have_text("Paused")
    page.evaluate("delete document.hidden; document.dispatchEvent(new Event('visibilitychange'))")
    expect(page.locator("#live")).to_have_text("Live")
    inbox.kill()
    expect(page.locator("#live")).to_have_text("Offline")
    inbox.start()
    expect(page.locator("#live")).to_have_text("Live")


def test_a_hidden_page_withdraws_its_question(inbox: Server, page: Page) -> None:
    page.goto("/dashboard/messages")
    with page.expect_request("**/dashboard/live*wait=25"):
        expect(page.locator("#live")).to_have_text("Live")

    with page.expect_event("requestfailed"):
        hide(page)

    expect(page.locator("#live")).to_have_text("Paused")


def hide(page: Page) -> None:
    """Has the page believe that its tab is in the background."""
    page.evaluate(
        "Object.defineProperty(document, 'hidden', {value: true, configurable: true});"
        "document.dispatchEvent(new Event('visibilitychange'))"
    )


def test_the_keyboard_alone_is_enough(inbox: Server, page: Page, faults: list[str]) -> None:
    fill(inbox, 3)
    page.goto("/dashboard/messages")
    press = page.keyboard.press

    press("j")
    press("j")
    press("j")
    press("k")
    press("Enter")
    expect(page.locator("#message .text")).to_have_text("Text 01")
    press("Escape")
    expect(page.locator("#message article")).to_have_count(0)
    expect(page.locator(".row").nth(1)).to_be_focused()
    press("?")
    expect(page.locator("#help")).to_be_visible()
    press("Escape")
    expect(page.locator("#help")).to_be_hidden()
    press("/")
    expect(page.locator("#q")).to_be_focused()
    page.keyboard.type("02")
    press("Enter")
    expect(page.locator(".row")).to_have_count(1)
    assert page.url.endswith("/dashboard/messages?q=02")
    assert faults == []


def test_on_a_narrow_screen_the_keys_open_the_next_and_the_previous_message(inbox: Server, page: Page) -> None:
    fill(inbox, 3)
    page.set_viewport_size({"width": 768, "height": 800})
    page.goto("/dashboard/messages?message=m-01")

    for key, text in (("j", "Text 00"), ("k", "Text 01"), ("k", "Text 02")):
        page.keyboard.press(key)
        expect(page.locator("#message .text")).to_have_text(text)
        expect(page.locator("#opened-title")).to_be_focused()
    page.keyboard.press("Escape")
    expect(page.locator(".row").first).to_be_focused()


def test_a_message_that_is_closed_at_once_does_not_load_the_page_anew(inbox: Server, page: Page) -> None:
    fill(inbox, 3)
    page.goto("/dashboard/messages")
    page.evaluate(
        "window.isTheSame = true;"
        "document.addEventListener('htmx:afterSwap',"
        " () => setTimeout(() => document.getElementById('close').click()), {once: true})"
    )

    page.get_by_text("Text 01").click()

    expect(page.locator("#message article")).to_have_count(0)
    expect(page.locator(".row").nth(1)).to_be_focused()
    assert page.evaluate("window.isTheSame")


def test_hostile_texts_stay_texts(inbox: Server, page: Page, faults: list[str]) -> None:
    for number, text in enumerate(HOSTILE_TEXTS):
        inbox.deliver(payload(message_id=f"m-{number:02}", text=text, note={text[:90]: text}))
    page.goto("/dashboard/messages")
    for number, text in enumerate(HOSTILE_TEXTS):
        page.locator(f".row[href$='m-{number:02}']").click()
        expect(page.locator("#message .id").last).to_have_text(f"m-{number:02}")
        assert page.locator("#message .text").evaluate("element => element.textContent") == text

    assert page.evaluate("window.hacked") is None
    assert page.locator("a[href^='tel:']").count() == 0
    assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")
    assert faults == []


def test_without_javascript_it_lists_filters_pages_and_opens(inbox: Server, browser: Browser) -> None:
    fill(inbox, 60)
    context = browser.new_context(base_url=inbox.url, java_script_enabled=False)
    page = context.new_page()
    page.goto("/dashboard/messages")
    page.get_by_text("Older messages").click()
    page.get_by_text("Text 00").click()
    expect(page.locator("#message .text")).to_have_text("Text 00")
    expect(page.locator(".row[aria-current]")).to_contain_text("Text 00")
    page.locator("#close").click()
    expect(page.locator(".row").last).to_contain_text("Text 00")
    page.goto("/dashboard/messages")
    page.locator("#q").fill("Text 33")
    page.get_by_role("button", name="Apply").click()
    expect(page.locator(".row")).to_have_count(1)
    page.goto("/dashboard/overview?since=2025-01-15T00:00&until=2025-01-16T00:00")
    page.get_by_text("Numbers and range").click()
    page.get_by_role("link", name="2025-01-15").click()
    expect(page.locator(".row")).to_have_count(50)
    context.close()


def test_a_replay_shows_its_result_in_place_and_dropping_asks_first(
    inbox: Server, page: Page, faults: list[str]
) -> None:
    inbox.deliver({"message_id": "bad"})
    page.goto("/dashboard/quarantine/1")

    page.get_by_role("button", name="Replay").click()
    expect(page.locator(".notice")).to_contain_text("Still in quarantine")
    expect(page.locator(".notice")).to_be_focused()
    page.get_by_text("Drop…").click()
    page.get_by_role("button", name="Drop for good").click()
    expect(page.locator("#entry")).to_contain_text("Dropped")
    expect(page.locator(".notice")).to_be_focused()
    assert page.url.endswith("/dashboard/quarantine/1")
    assert faults == []


def test_a_reader_is_told_in_place_that_a_change_takes_the_admin_token(sqlite_url: str, browser: Browser) -> None:
    with Server(sqlite_url, WEB_CONCURRENCY="1", API_TOKEN="readers", ADMIN_TOKEN="admins") as inbox:
        inbox.deliver({"message_id": "bad"})
        context = browser.new_context(base_url=inbox.url)
        page = context.new_page()
        page.goto("/dashboard/quarantine/1")
        page.get_by_label("Token").fill("readers")
        page.get_by_role("button", name="Sign in").click()

        page.get_by_role("button", name="Replay").click()
        expect(page.locator("#result")).to_have_text("ADMIN_TOKEN needed: sign out, then sign in with it.")
        expect(page.locator("#entry")).to_contain_text("invalid_fields")
        page.goto("/dashboard/setup")
        page.get_by_role("button", name="Send a test message").click()
        expect(page.locator("#test-native")).to_have_text("ADMIN_TOKEN needed: sign out, then sign in with it.")
        context.close()


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


def test_search_in_extra_unfolds_what_it_finds(inbox: Server, page: Page, faults: list[str]) -> None:
    inbox.deliver(payload(message_id="m", order={"items": [{"sku": "A-12"}, {"sku": "B-7"}], "note": "gift"}))
    page.goto("/dashboard/messages?message=m")
    sku = page.locator("#extra .leaf", has_text="B-7")
    expect(sku).to_be_hidden()

    page.get_by_placeholder("Search in extra").fill("b-7")
    expect(sku).to_be_visible()
    expect(page.locator("#extra .leaf", has_text="gift")).to_be_hidden()
    page.get_by_placeholder("Search in extra").fill("")
    expect(page.locator("#extra .leaf", has_text="gift")).to_be_visible()
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
    context = browser.new_context(
        base_url=demo_inbox.url, viewport={"width": width, "height": 800}, bypass_csp=True, reduced_motion="reduce"
    )
    page = context.new_page()
    for path in PAGES:
        page.goto(f"/dashboard/{path}")
        if path == OPENED:
            expect(page.locator("#message .text")).to_be_visible()
        assert violations(page) == [], path
        assert page.evaluate("document.documentElement.scrollWidth <= innerWidth"), path
    context.close()


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
