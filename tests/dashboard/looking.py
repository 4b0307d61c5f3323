"""What tests of pages share: an inbox to look at, and rules of accessibility."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from playwright.sync_api import Browser, Page

from tests.support.deliveries import payload
from tests.support.server import Server

AXE = Path(__file__).parent / "vendor" / "axe.min.js"
# Other results than violations, which nothing here reads, cost as much again.
RUN_AXE = """
    rules => axe.run({...rules, resultTypes: ['violations']})
        .then(found => found.violations.map(each => `${each.id}: ${each.nodes[0].html}`))
"""
ALL_RULES: dict[str, list[str]] = {}
COLOURS = {"runOnly": ["color-contrast"]}


def fill(server: Server, number: int) -> None:
    """Delivers messages m-00, m-01 and so on, a second apart."""
    for at in range(number):
        answer = server.deliver(
            payload(message_id=f"m-{at:02}", ts=f"2025-01-15T10:{at // 60:02}:{at % 60:02}Z", text=f"Text {at:02}")
        )
        assert answer.status == 200


@contextmanager
def page_with_axe(browser: Browser, server: Server, width: int) -> Iterator[Page]:
    """Gives a page of a width in pixels, for ``violations``: it has axe in it, which the CSP would keep out."""
    with browser.new_context(
        base_url=server.url, viewport={"width": width, "height": 800}, bypass_csp=True, reduced_motion="reduce"
    ) as context:
        context.add_init_script(path=AXE)
        yield context.new_page()


def violations(page: Page) -> list[str]:
    """Returns what axe finds wrong with a page in light, and with its colours in dark, where nothing else differs."""
    page.emulate_media(color_scheme="light")
    in_light: list[str] = page.evaluate(RUN_AXE, ALL_RULES)
    page.emulate_media(color_scheme="dark")
    in_dark: list[str] = page.evaluate(RUN_AXE, COLOURS)
    return [*in_light, *(f"in dark: {each}" for each in in_dark)]
