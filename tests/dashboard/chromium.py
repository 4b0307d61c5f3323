"""The browser of the machine."""

import shutil

# Debian's shell first: it draws no window's frame, and takes a third of the processor time off the tests of pages.
NAMES = ("chromium-headless-shell", "chromium", "chromium-browser", "google-chrome")


def find_chromium() -> str | None:
    """The path of Chromium, as Debian and others install it; None when there is none."""
    return next((path for path in map(shutil.which, NAMES) if path), None)
