"""Waits for a condition instead of for a time."""

import time
from collections.abc import Callable

PATIENCE = 60.0  # seconds: spent only when something is broken, so long enough for a machine under load
# Seconds between two looks. To look is often a request, and what is waited for needs the processor as well.
SHORTEST_PAUSE, LONGEST_PAUSE = 0.01, 0.05
GROWTH = 1.2


def wait_until(condition: Callable[[], bool], what: str, patience: float = PATIENCE) -> None:
    """Waits until the condition holds; TimeoutError, which names ``what``, when it never does."""
    deadline = time.monotonic() + patience
    pause = SHORTEST_PAUSE
    while not condition():
        if time.monotonic() > deadline:
            raise TimeoutError(f"still waiting for {what}")
        time.sleep(pause)
        pause = min(pause * GROWTH, LONGEST_PAUSE)
