"""Several processes that write to one log at once."""

import json
import logging.config
import os
import subprocess
import sys

from tests.support.processes import ROOT
from webhook_service.web.logs import logging_config

PROCESSES = 4
LINES = 200  # of each process
DEPTH = 60  # calls, so that a traceback is longer than a pipe takes at once


def fail(depth: int) -> None:
    """Raises an error from the depths, by two ways in turn, as a traceback tells the same line three times at most."""
    if not depth:
        raise RuntimeError
    if depth % 2:
        fail(depth - 1)
    fail(depth - 1)


def write_lines() -> None:
    """Logs errors, and plain lines between them."""
    log = logging.getLogger(__name__)
    for number in range(LINES):
        log.info("line %s", number)
        try:
            fail(DEPTH)
        except RuntimeError:
            log.exception("failed")


def main() -> None:
    """Has several processes do so, as the workers of a server do, which share a pipe."""
    logging.config.dictConfig(logging_config("INFO"))
    children = []
    for _ in range(PROCESSES):
        child = os.fork()
        if not child:
            write_lines()
            os._exit(0)
        children.append(child)
    for child in children:
        os.waitpid(child, 0)


def test_lines_of_several_processes_are_whole_however_long_a_traceback_is() -> None:
    written = subprocess.run([sys.executable, "-m", __name__], cwd=ROOT, stdout=subprocess.PIPE, check=True).stdout

    lines = [json.loads(line) for line in written.splitlines()]
    tracebacks = [line["traceback"] for line in lines if "traceback" in line]
    dropped = sum(line["dropped"] for line in lines if "dropped" in line)
    assert len(lines) - sum("dropped" in line for line in lines) + dropped == PROCESSES * LINES * 2
    assert tracebacks
    assert all(
        text.startswith("…") and text.endswith("in fail\n    raise RuntimeError\nRuntimeError") for text in tracebacks
    )


if __name__ == "__main__":
    main()
