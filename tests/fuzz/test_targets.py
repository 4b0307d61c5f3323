"""Readers of what anyone may send, fuzzed: all by turns for a few seconds, or each for ``FUZZ_TARGET_SECONDS``.

``make fuzz`` sets them.
"""

import os
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

import pytest

from tests.fuzz.targets import ALL, TARGETS, by_turns
from tests.support.processes import ROOT

SECONDS = int(os.environ.get("FUZZ_TARGET_SECONDS", "5"))
FUZZED = TARGETS if "FUZZ_TARGET_SECONDS" in os.environ else [ALL]
SLOW = 10  # seconds for one input
# Inputs that showed a fault once, by target.
FOUND: dict[str, tuple[bytes, ...]] = {}


@pytest.mark.parametrize("name", TARGETS)
def test_no_input_that_is_known_shows_a_fault(name: str) -> None:
    for sent in (b"", *TARGETS[name].seeds, *FOUND.get(name, ())):
        TARGETS[name].run(sent)


@pytest.mark.skipif(find_spec("atheris") is None, reason="atheris has no wheel for this machine or this Python")
@pytest.mark.timeout(SECONDS + 120)
@pytest.mark.parametrize("name", FUZZED)
def test_no_input_that_is_found_shows_a_fault(name: str, tmp_path: Path) -> None:
    corpus = tmp_path / "corpus"
    corpus.mkdir()
    target = by_turns() if name == ALL else TARGETS[name]
    for number, seed in enumerate(target.seeds):
        (corpus / str(number)).write_bytes(seed)

    fuzzed = subprocess.run(
        [
            *(sys.executable, "-m", "tests.fuzz.coverage", name, f"-max_total_time={SECONDS}", f"-timeout={SLOW}"),
            *(f"-artifact_prefix={tmp_path}/", str(corpus)),
        ],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )

    assert fuzzed.returncode == 0, fuzzed.stdout + fuzzed.stderr
    assert "Done" in fuzzed.stderr
