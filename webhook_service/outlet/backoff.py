"""Delays: until a message is tried again, and until a paused destination is.

Full jitter: https://aws.amazon.com/blogs/architecture/exponential-backoff-and-jitter/
"""

from collections.abc import Callable
from random import uniform

from webhook_service.domain.destinations import Retries

FIRST_PROBE = 10.0  # seconds
LONGEST_PROBE = 300.0

_DOUBLINGS = 40  # enough to reach any limit, too few to overflow a float

Uniform = Callable[[float, float], float]


def retry_delay(retries: Retries, failures: int, retry_after: float | None, draw: Uniform = uniform) -> float:
    """Returns the seconds until the next attempt, after this many failures; at least what the receiver asked for."""
    most = min(retries.longest, retries.first * 2.0 ** min(failures - 1, _DOUBLINGS))
    return max(draw(0.0, most), retry_after or 0.0)


def probe_delay(probes: int, draw: Uniform = uniform) -> float:
    """Returns the seconds until a paused destination is tried again, after this many failed probes."""
    most = min(LONGEST_PROBE, FIRST_PROBE * 2.0 ** min(probes, _DOUBLINGS))
    return draw(most / 2, most)
