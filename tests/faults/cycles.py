"""How often the tests that kill at random do so: ``make faults CYCLES=500`` for a night."""

import os
from math import ceil

import pytest

# Parts run side by side, so that the default is done in seconds.
_PARTS = 4
CYCLES_OF_A_PART = ceil(int(os.environ.get("FAULT_CYCLES", "4")) / _PARTS)

in_parts = pytest.mark.parametrize(
    "faulty_url",
    [*(pytest.param("sqlite", id=f"sqlite-{part}") for part in range(_PARTS)), "postgresql"],
    indirect=True,
)
"""All cycles on SQLite and a part of them on PostgreSQL; the test takes ``faulty_url``."""
