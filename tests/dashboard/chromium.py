"""The browser of the machine."""

import shutil

NAMES = ("chromium", "chromium-browser", "google-chrome")


def find_chromium() -> str | None:
    """The path of Chromium, as Debian and others install it; None when there is none."""
    return next((path for path in map(shutil.which, NAMES) if path), None)
