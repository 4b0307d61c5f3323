"""What tests of pages share: an inbox to look at, and rules of accessibility."""

from pathlib import Path
from typing import Literal

from playwright.sync_api import Page

from tests.support.deliveries import payload
from tests.support.server import Server

AXE = Path(__file__).parent / "vendor" / "axe.min.js"
RUN_AXE = "axe.run().then(found => found.violations.map(each => `${each.id}: ${each.nodes[0].html}`))"
SCHEMES: tuple[Literal["light"], Literal["dark"]] = ("light", "dark")


def fill(server: Server, number: int) -> None:
    """Delivers messages m-00, m-01 and so on, a second apart."""
    for at in range(number):
        answer = server.deliver(
            payload(message_id=f"m-{at:02}", ts=f"2025-01-15T10:{at // 60:02}:{at % 60:02}Z", text=f"Text {at:02}")
        )
        assert answer.status == 200


def violations(page: Page) -> list[str]:
    """What axe finds wrong with a page, in light and in dark; the page's context must bypass the CSP."""
    page.add_script_tag(path=AXE)
    found = []
    for scheme in SCHEMES:
        page.emulate_media(color_scheme=scheme)
        found += [f"{scheme}: {each}" for each in page.evaluate(RUN_AXE)]
    return found
