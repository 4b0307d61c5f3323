"""How messages that arrive come into an open list or are announced, in a browser against a real server."""

import pytest
from playwright.sync_api import Browser, Page, expect

from tests.dashboard.looking import fill, page_with_axe, violations
from tests.support.deliveries import payload
from tests.support.server import Server


def test_new_messages_arrive_in_a_list_that_nobody_is_at(inbox: Server, page: Page, faults: list[str]) -> None:
    fill(inbox, 2)
    page.goto("/dashboard/messages?q=i")
    page.evaluate("window.isTheSame = true")
    expect(page.locator("#live")).to_have_text("Live")

    for number in range(3):
        inbox.deliver(payload(message_id=f"new-{number}", text="Just in", ts="2025-01-16T10:00:00Z"))
        inbox.deliver(payload(text="Ano", ts="2025-01-16T10:00:00Z"))

    expect(page.locator(".row")).to_have_count(3)
    expect(page.locator(".row.new").first).to_contain_text("Just in")
    expect(page.locator("#announcement")).to_be_hidden()
    page.get_by_text("Just in").first.click()
    expect(page.locator("#message .text")).to_have_text("Just in")
    assert page.evaluate("window.isTheSame")
    assert faults == []


def test_new_messages_are_announced_to_whoever_reads_and_move_nothing(
    inbox: Server, page: Page, faults: list[str]
) -> None:
    fill(inbox, 2)
    page.goto("/dashboard/messages")
    page.get_by_text("Text 01").hover()
    expect(page.locator("#live")).to_have_text("Live")

    for number in range(3):
        inbox.deliver(payload(message_id=f"new-{number}", text="Just in", ts="2025-01-16T10:00:00Z"))

    expect(page.locator("#announcement")).to_have_text("3 new messages")
    assert page.locator(".row").count() == 2
    assert page.title().startswith("(3)")
    page.get_by_text("3 new messages").click()
    expect(page.locator(".row")).to_have_count(5)
    expect(page.locator("#announcement")).to_be_hidden()
    assert not page.title().startswith("(")
    assert faults == []


@pytest.mark.parametrize("width", [360, 768, 1440])
def test_an_announcement_moves_neither_the_list_nor_the_opened_message(width: int, inbox: Server, page: Page) -> None:
    fill(inbox, 40)
    page.set_viewport_size({"width": width, "height": 800})
    page.goto("/dashboard/messages")
    scroll(page, 300)
    page.locator(".row").nth(20).hover()
    row = page.locator(".row").nth(20)
    text = page.locator("#message .text")

    before = row.bounding_box()
    announce(inbox, page, 1)
    assert row.bounding_box() == before
    row.click()
    expect(text).to_have_text("Text 19")
    page.reload()
    before = text.bounding_box()
    announce(inbox, page, 1)
    assert text.bounding_box() == before


def test_a_message_stays_open_while_the_list_beside_it_is_shown_anew(inbox: Server, page: Page) -> None:
    fill(inbox, 3)
    page.goto("/dashboard/messages?message=m-01")
    announce(inbox, page, 1)

    page.locator("#announcement a").click()

    expect(page.locator(".row").first).to_contain_text("Just in")
    expect(page.locator(".row[aria-current]")).to_contain_text("Text 01")
    expect(page.locator("#message .text")).to_have_text("Text 01")


@pytest.mark.parametrize("width", [360, 768])
def test_an_announcement_is_seen_wherever_one_has_scrolled_to(width: int, inbox: Server, page: Page) -> None:
    fill(inbox, 40)
    page.set_viewport_size({"width": width, "height": 800})
    page.goto("/dashboard/messages")
    scroll(page, 900)
    announce(inbox, page, 1)
    expect(page.locator("#announcement")).to_be_in_viewport(ratio=1)

    page.locator(".row").nth(30).click()
    expect(page.locator("#message .text")).to_have_text("Text 09")
    expect(page.locator("#announcement")).to_be_in_viewport(ratio=1)
    page.locator("#announcement a").click()

    expect(page.locator(".row").first).to_contain_text("Just in")
    expect(page.locator(".row").first).to_be_in_viewport(ratio=1)
    expect(page.locator("#announcement")).to_be_hidden()


def test_a_phone_tells_that_the_server_is_away_wherever_one_has_scrolled_to(inbox: Server, page: Page) -> None:
    fill(inbox, 40)
    page.set_viewport_size({"width": 360, "height": 800})
    page.goto("/dashboard/messages")
    scroll(page, 900)
    expect(page.locator("#live")).to_have_text("Live")

    inbox.kill()

    expect(page.locator("#live")).to_have_text("Offline")
    expect(page.locator("#live")).to_be_in_viewport(ratio=1)


def test_messages_sent_long_ago_are_announced_as_further_down_with_a_link_to_them(
    inbox: Server, page: Page, faults: list[str]
) -> None:
    fill(inbox, 60)
    page.goto("/dashboard/messages?q=t")
    expect(page.locator("#live")).to_have_text("Live")
    word = page.locator("#announcement a")

    inbox.deliver(payload(text="Late", ts="2024-12-01T08:15:30Z"))
    expect(word).to_have_text("1 new message further down, sent 2024-12-01 08:15")
    page.get_by_text("Text 50").hover()
    inbox.deliver(payload(text="Later", ts="2024-12-02T09:00:00Z"))
    expect(word).to_have_text("1 new message")
    word.click()
    expect(word).to_have_text("2 new messages further down, sent 2024-12-01 08:15 to 2024-12-02 09:00")
    assert page.locator(".row.new").count() == 0

    word.click()
    page.wait_for_url("**/messages?q=t&since=2024-12-01T08%3A15&until=2024-12-02T09%3A01")
    assert page.locator(".row .snippet").all_text_contents() == ["Later", "Late"]
    assert faults == []


def test_word_of_messages_further_down_can_be_dismissed_by_the_keyboard(inbox: Server, page: Page) -> None:
    fill(inbox, 60)
    page.goto("/dashboard/messages")
    expect(page.locator("#live")).to_have_text("Live")
    inbox.deliver(payload(ts="2024-12-01T08:15:30Z"))
    expect(page.locator("#announcement")).to_contain_text("further down")

    page.keyboard.press("/")
    page.get_by_role("button", name="Dismiss").focus()
    page.keyboard.press("Enter")

    expect(page.locator("#announcement")).to_be_hidden()
    expect(page.locator(".row").first).to_be_focused()


@pytest.mark.parametrize("width", [360, 768, 1440])
def test_axe_finds_nothing_in_an_announcement(width: int, browser: Browser, inbox: Server) -> None:
    fill(inbox, 60)
    with page_with_axe(browser, inbox, width) as page:
        for path in ("messages", "messages?message=m-30"):
            page.goto(f"/dashboard/{path}")
            scroll(page, 300)
            announce(inbox, page, 1)
            assert violations(page) == [], path
        page.goto("/dashboard/messages")
        expect(page.locator("#live")).to_have_text("Live")
        inbox.deliver(payload(ts="2024-12-01T08:15:30Z"))
        expect(page.locator("#announcement")).to_contain_text("further down")
        assert violations(page) == []
        assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")


def scroll(page: Page, pixels: int) -> None:
    """Scrolls the list, which is the whole page where the screen is narrow."""
    page.locator("#list").evaluate("(list, pixels) => { list.scrollTop = pixels; scrollTo(0, pixels); }", pixels)


def announce(server: Server, page: Page, number: int) -> None:
    """Delivers messages, and waits until the page says so."""
    expect(page.locator("#live")).to_have_text("Live")
    for _ in range(number):
        server.deliver(payload(text="Just in", ts="2025-01-16T10:00:00Z"))
    expect(page.locator("#announcement")).to_contain_text(f"{number} new message")
