"""The page of the contract in a browser: it shows the calls, and tries them with a token."""

import re
from collections.abc import Iterator

import pytest
from playwright.sync_api import Browser, Page, expect

from tests.support.deliveries import payload
from tests.support.server import Server

TOKEN = "the-token-of-the-tests"


@pytest.fixture
def inbox(sqlite_url: str) -> Iterator[Server]:
    """A server that only whoever has the token may read from."""
    with Server(sqlite_url, WEB_CONCURRENCY="1", API_TOKEN=TOKEN) as running:
        assert running.deliver(payload()).status == 200
        yield running


@pytest.fixture
def page(browser: Browser, inbox: Server, faults: list[str]) -> Iterator[Page]:
    """The page, opened by someone who has given the token as a password."""
    context = browser.new_context(base_url=inbox.url, http_credentials={"username": "anyone", "password": TOKEN})
    opened = context.new_page()
    opened.on("console", lambda said: faults.append(said.text) if said.type in {"error", "warning"} else None)
    opened.on("pageerror", lambda error: faults.append(str(error)))
    opened.goto("/docs")
    yield opened
    context.close()


def try_totals(page: Page) -> dict[str, str]:
    """Presses the button that tries ``GET /stats``; returns the headers of the request that was sent."""
    with page.expect_request("**/stats") as sent:
        page.locator("[id='get-/stats']").get_by_role("button", name="TRY").click()
    return sent.value.all_headers()


def test_the_page_shows_every_call_and_loads_nothing_from_elsewhere(page: Page, inbox: Server) -> None:
    asked: list[str] = []
    page.on("request", lambda request: asked.append(request.url))
    page.reload()

    contract = inbox.get("/openapi.json", {"Authorization": f"Bearer {TOKEN}"}).json()
    for path, operations in contract["paths"].items():
        for method in operations.keys() & {"get", "post", "put", "delete"}:
            expect(page.locator(f"[id='{method}-{re.sub('[{}]', '-', path)}']").first).to_be_attached()
    assert asked
    assert all(url.startswith((inbox.url, "data:")) for url in asked)


def test_a_call_is_tried_with_a_bearer_token(page: Page, faults: list[str]) -> None:
    page.get_by_placeholder("api-token").fill(TOKEN)
    page.locator("#security-scheme-Bearer").get_by_role("button", name="SET").click()

    headers = try_totals(page)

    assert headers["authorization"] == f"Bearer {TOKEN}"
    expect(page.locator("[id='get-/stats']")).to_contain_text(re.compile(r"Response Status: (OK:)?\s*200"))
    expect(page.locator("[id='get-/stats']")).to_contain_text("total_messages")
    assert faults == []


def test_a_call_is_tried_with_a_user_and_a_password(page: Page) -> None:
    basic = page.locator("#security-scheme-Basic")
    basic.get_by_placeholder("username").fill("anyone")
    basic.get_by_placeholder("password").fill(TOKEN)
    basic.get_by_role("button", name="SET").click()

    headers = try_totals(page)

    assert headers["authorization"].startswith("Basic ")
    expect(page.locator("[id='get-/stats']")).to_contain_text(re.compile(r"Response Status: (OK:)?\s*200"))
