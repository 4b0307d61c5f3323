"""Takes the pictures of the docs from an invented inbox: ``make screenshots``."""

import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from io import BytesIO
from pathlib import Path
from typing import Literal

from PIL import Image
from playwright.sync_api import Browser, Page, expect, sync_playwright

from tests.dashboard.chromium import find_chromium
from tests.support.deliveries import payload
from tests.support.forked import run_cli
from tests.support.processes import ROOT
from tests.support.server import Server
from webhook_service.configuration.database_url import parse_url
from webhook_service.providers.twilio import Twilio
from webhook_service.providers.whatsapp import WhatsApp
from webhook_service.storage.migrate import migrate

FOLDER = ROOT / "docs" / "images"
LONG_TEXT = "The driver rang"
ARRIVALS = (
    ("+447700900114", "Hello, is anyone there?"),
    ("+12025550118", "I would like two of the blue ones, please."),
    ("+447700900107", "Great, see you on Thursday!"),
)
SECRETS = {
    WhatsApp.secret_setting: "secret",
    "WHATSAPP_VERIFY_TOKEN": "token",
    Twilio.secret_setting: "secret",
    "PUBLIC_URL": "https://inbox.example",
}


def main() -> None:
    """Starts a server, fills it, and takes every picture."""
    FOLDER.mkdir(exist_ok=True)
    with tempfile.TemporaryDirectory() as directory:
        url = f"sqlite:///{Path(directory) / 'app.db'}"
        migrate(parse_url(url))
        environ = {**SECRETS, "COMMAND_FROM_OUTSIDE": "docker compose exec app webhook-service"}
        with Server(url, WEB_CONCURRENCY="1", **environ) as server, sync_playwright() as playwright:
            run_cli("demo", environ=server.environ)
            browser = playwright.chromium.launch(executable_path=find_chromium(), args=["--no-sandbox"])
            _take_messages(browser, server, "light")
            _take_messages(browser, server, "dark")
            _take(browser, server, "overview", "dashboard-overview", 1280, 960)
            _take(browser, server, "setup", "dashboard-setup", 1280, 760)
            _take(browser, server, "messages", "dashboard-phone", 390, 780)
            _film(browser, server)
            browser.close()


def _take_messages(browser: Browser, server: Server, scheme: Literal["light", "dark"]) -> None:
    with _page(browser, server, 1280, 760, scheme) as page:
        page.goto("/dashboard/messages")
        page.locator(".row").filter(has_text=LONG_TEXT).first.click()
        expect(page.locator("#message .text")).to_contain_text(LONG_TEXT)
        page.mouse.move(0, 0)
        page.screenshot(path=FOLDER / f"dashboard-{scheme}.png")


def _take(browser: Browser, server: Server, path: str, name: str, width: int, height: int) -> None:
    with _page(browser, server, width, height) as page:
        page.goto(f"/dashboard/{path}")
        page.wait_for_load_state("networkidle")
        page.screenshot(path=FOLDER / f"{name}.png")


def _film(browser: Browser, server: Server) -> None:
    """Films how messages arrive, how one is opened, and a search for others."""
    frames: list[tuple[bytes, int]] = []  # pictures, and for how many milliseconds each is shown
    with _page(browser, server, 1120, 640) as page:
        page.goto("/dashboard/messages")
        expect(page.locator("#live")).to_have_text("Live")

        def shoot(milliseconds: int) -> None:
            frames.append((page.screenshot(), milliseconds))

        shoot(1200)
        for at, (sender, text) in enumerate(ARRIVALS):
            server.deliver(
                payload(message_id=f"live-{at}", sender=sender, text=text, ts=_now(page), order={"number": 8114})
            )
            expect(page.locator(".row").first).to_contain_text(text)
            shoot(1000)
        page.keyboard.press("j")
        shoot(700)
        page.keyboard.press("Enter")
        expect(page.locator("#message .text")).to_have_text(ARRIVALS[-1][1])
        shoot(2000)
        page.keyboard.press("/")
        for letters in ("par", "parcel"):
            page.locator("#q").fill(letters)
            shoot(400)
        page.keyboard.press("Enter")
        page.wait_for_url("**q=parcel")
        expect(page.locator("#live")).to_have_text("Live")
        shoot(2000)
    pictures = [Image.open(BytesIO(picture)).convert("RGB") for picture, _ in frames]
    durations = [milliseconds for _, milliseconds in frames]
    pictures[0].save(
        FOLDER / "dashboard.webp",
        save_all=True,
        append_images=pictures[1:],
        duration=durations,
        loop=0,
        quality=70,
        method=6,
    )


def _now(page: Page) -> str:
    now: str = page.evaluate("new Date().toISOString()")
    return now


@contextmanager
def _page(
    browser: Browser, server: Server, width: int, height: int, scheme: Literal["light", "dark"] = "light"
) -> Iterator[Page]:
    context = browser.new_context(
        base_url=server.url,
        viewport={"width": width, "height": height},
        color_scheme=scheme,
        reduced_motion="reduce",
    )
    yield context.new_page()
    context.close()


if __name__ == "__main__":
    main()
