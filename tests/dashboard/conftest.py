"""A browser, and a page of it that reports everything that goes wrong in it."""

from collections.abc import Iterator

import pytest
from playwright.sync_api import Browser, Page, expect, sync_playwright

from tests.dashboard.chromium import find_chromium
from tests.support.server import Server

HOW_TO_ENABLE = "needs Chromium: apt-get install chromium-headless-shell"
TIMEOUT = 60_000  # milliseconds: only ever spent when something is broken

expect.set_options(timeout=TIMEOUT)


@pytest.fixture(scope="package")
def browser() -> Iterator[Browser]:
    """The system's Chromium; no test beyond this folder may find Playwright's event loop running."""
    path = find_chromium()
    if path is None:
        pytest.skip(HOW_TO_ENABLE)
    with sync_playwright() as playwright:
        launched = playwright.chromium.launch(executable_path=path, args=["--no-sandbox"])
        yield launched
        launched.close()


@pytest.fixture
def faults() -> list[str]:
    """Collects what the console of the page says: errors, warnings and reports of the content security policy."""
    return []


@pytest.fixture
def page(browser: Browser, inbox: Server, faults: list[str]) -> Iterator[Page]:
    """A page of its own for a test, with addresses below those of the ``inbox``."""
    context = browser.new_context(base_url=inbox.url, viewport={"width": 1440, "height": 900})
    context.set_default_timeout(TIMEOUT)
    opened = context.new_page()
    opened.on("console", lambda said: faults.append(said.text) if said.type in {"error", "warning"} else None)
    opened.on("pageerror", lambda error: faults.append(str(error)))
    yield opened
    context.close()


@pytest.fixture
def inbox(sqlite_url: str) -> Iterator[Server]:
    """A server with an inbox of its own."""
    with Server(sqlite_url, WEB_CONCURRENCY="1") as running:
        yield running
