"""Takes the pictures of the docs from an invented inbox: ``make screenshots``."""

import tempfile
from pathlib import Path
from typing import Literal

from playwright.sync_api import Browser, expect, sync_playwright

from tests.dashboard.chromium import find_chromium
from tests.support.processes import ROOT, run_cli
from tests.support.server import Server
from webhook_service.configuration.database_url import parse_url
from webhook_service.storage.migrate import migrate

FOLDER = ROOT / "docs" / "images"
LONG_TEXT = "The driver rang"


def main() -> None:
    """Starts a server, fills it, and takes every picture."""
    FOLDER.mkdir(exist_ok=True)
    with tempfile.TemporaryDirectory() as directory:
        url = f"sqlite:///{Path(directory) / 'app.db'}"
        migrate(parse_url(url))
        with Server(url, WEB_CONCURRENCY="1") as server, sync_playwright() as playwright:
            run_cli("demo", environ=server.environ)
            browser = playwright.chromium.launch(executable_path=find_chromium(), args=["--no-sandbox"])
            _take_messages(browser, server, "light")
            _take_messages(browser, server, "dark")
            _take(browser, server, "overview", "dashboard-overview", 1280, 760)
            _take(browser, server, "messages", "dashboard-phone", 390, 780)
            browser.close()


def _take_messages(browser: Browser, server: Server, scheme: Literal["light", "dark"]) -> None:
    context = browser.new_context(
        base_url=server.url, viewport={"width": 1280, "height": 760}, color_scheme=scheme, reduced_motion="reduce"
    )
    page = context.new_page()
    page.goto("/dashboard/messages")
    page.locator(".row").filter(has_text=LONG_TEXT).first.click()
    expect(page.locator("#message .text")).to_contain_text(LONG_TEXT)
    page.screenshot(path=FOLDER / f"dashboard-{scheme}.png")
    context.close()


def _take(browser: Browser, server: Server, path: str, name: str, width: int, height: int) -> None:
    context = browser.new_context(base_url=server.url, viewport={"width": width, "height": height})
    page = context.new_page()
    page.goto(f"/dashboard/{path}")
    page.screenshot(path=FOLDER / f"{name}.png")
    context.close()


if __name__ == "__main__":
    main()
