"""Waits for a condition instead of for a time."""

import time
from collections.abc import Callable

PATIENCE = 60.0  # seconds: spent only when something is broken, so long enough for a machine under load


def wait_until(condition: Callable[[], bool], what: str, patience: float = PATIENCE) -> None:
    """Waits until the condition holds; TimeoutError, which names ``what``, when it never does."""
    deadline = time.monotonic() + patience
    while not condition():
        if time.monotonic() > deadline:
            raise TimeoutError(f"still waiting for {what}")
        time.sleep(0.01)
