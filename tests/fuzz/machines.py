"""Runs the state machines, all in the same way."""

import os

from hypothesis import HealthCheck, settings
from hypothesis.stateful import RuleBasedStateMachine, run_state_machine_as_test

EXAMPLES = int(os.environ.get("FUZZ_EXAMPLES", "6"))


def run(machine: type[RuleBasedStateMachine], steps: int, **attributes: object) -> None:
    """Runs EXAMPLES chains of at most ``steps`` calls of a machine, whose class gets the ``attributes``."""
    run_state_machine_as_test(
        type(machine.__name__, (machine,), attributes),
        settings=settings(
            max_examples=EXAMPLES,
            stateful_step_count=steps,
            deadline=None,
            suppress_health_check=list(HealthCheck),
        ),
    )
