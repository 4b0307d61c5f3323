"""Fuzzes a target, led by what of the service each input reaches: ``python -m tests.fuzz.coverage TARGET [options]``.

``TARGET`` is a name of ``targets.py``, or ``all`` for all of them by turns.

Options are those of libFuzzer, such as ``-max_total_time=60 CORPUS``: https://llvm.org/docs/LibFuzzer.html#options
"""

import sys

import atheris  # type: ignore[import-untyped,unused-ignore]  # it has no types

with atheris.instrument_imports(include=["webhook_service", "gunicorn.http"]):
    from tests.fuzz.targets import ALL, TARGETS, by_turns

if __name__ == "__main__":
    name = sys.argv.pop(1)
    target = by_turns() if name == ALL else TARGETS[name]
    atheris.Setup(sys.argv, target.run)
    atheris.Fuzz()
