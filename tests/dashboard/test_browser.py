"""Messages and the quarantine as a person meets them, in a browser against a real server."""

from playwright.sync_api import Browser, Page, expect

from tests.dashboard.corpus import HOSTILE_TEXTS
from tests.dashboard.looking import fill
from tests.support.deliveries import payload
from tests.support.server import Server


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
        with page.expect_navigation():  # until its scripts have run
            page.get_by_role("button", name="Sign in").click()

        page.get_by_role("button", name="Replay").click()
        expect(page.locator("#result")).to_have_text("ADMIN_TOKEN needed: sign out, then sign in with it.")
        expect(page.locator("#entry")).to_contain_text("invalid_fields")
        page.goto("/dashboard/setup")
        page.get_by_role("button", name="Send a test message").click()
        expect(page.locator("#test-native")).to_have_text("ADMIN_TOKEN needed: sign out, then sign in with it.")
        context.close()


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
