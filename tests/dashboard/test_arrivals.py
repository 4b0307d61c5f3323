"""How messages that arrive come into an open list or are announced, in a browser against a real server."""

from playwright.sync_api import Page, expect

from tests.dashboard.looking import fill
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
