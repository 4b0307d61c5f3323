"""The measured runs of ingest, kept in a file from which the report is made."""

import json
import os
import platform
import sqlite3
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, NamedTuple

from benchmarks.load import Measured, median_of
from benchmarks.servers import ROOT

RESULTS = ROOT / "benchmarks" / "results" / "ingest.json"

SERVICE = "service"
POSTGRESQL = "service on PostgreSQL"
VIEW = "view"
NODE = "plain Node"
INSERT_PER_REQUEST = "insert per request"
DUPLICATES = "duplicates"
FULL = "full database"
BARE = "without counts and search"
BARE_POSTGRESQL = "without counts and search on PostgreSQL"


class Load(NamedTuple):
    """A subject under load from so many connections."""

    subject: str
    connections: int


@dataclass(frozen=True, slots=True)
class Run:
    """One run of wrk against a subject; the units are those of ``Measured``.

    ``stored`` is the number of messages that were in the database before the first run, ``megabytes`` the resident
    memory of the largest worker after this one; each is None in parts that are not about it.
    """

    subject: str
    connections: int
    round: int
    seconds: float
    measured: Measured
    stored: int | None = None
    megabytes: float | None = None

    @property
    def load(self) -> Load:
        return Load(self.subject, self.connections)


@dataclass(frozen=True, slots=True)
class Part:
    """The runs of one part of the benchmark, and the machine that they were measured on."""

    machine: Mapping[str, str | int]
    runs: Sequence[Run]

    def of(self, load: Load) -> list[Run]:
        """Returns the runs of one subject with so many connections, by round."""
        return [run for run in self.runs if run.load == load]

    def medians(self) -> dict[Load, Measured]:
        """Returns the median of each load, by subject in the order of their first runs, then by connections."""
        subjects = list(dict.fromkeys(run.subject for run in self.runs))
        loads = sorted(
            {run.load for run in self.runs}, key=lambda load: (subjects.index(load.subject), load.connections)
        )
        return {load: median_of([run.measured for run in self.of(load)]) for load in loads}


Parts = Mapping[str, Part]


def machine_facts() -> dict[str, str | int]:
    """Returns the facts of this machine that figures depend on."""
    return {
        "cores": os.cpu_count() or 0,
        "kernel": platform.release().partition("-")[0],
        "python": platform.python_version(),
        "sqlite": sqlite3.sqlite_version,
        "date": datetime.now(UTC).date().isoformat(),
    }


def read_parts(file: Path) -> dict[str, Part]:
    """Returns the parts that a file holds; none when there is no file yet."""
    stored = json.loads(file.read_text()) if file.exists() else {}
    return {
        name: Part(machine=part["machine"], runs=[_to_run(run) for run in part["runs"]])
        for name, part in stored.items()
    }


def replace_parts(file: Path, measured: Parts) -> None:
    """Replaces these parts of the file, and no others; writes it whole or not at all, with a line for each run."""
    parts = read_parts(file) | dict(measured)
    texts = []
    for name, part in sorted(parts.items()):
        runs = ",\n".join(f"      {json.dumps(_to_json(run))}" for run in part.runs)
        texts.append(
            f'  {json.dumps(name)}: {{\n    "machine": {json.dumps(part.machine)},\n    "runs": [\n{runs}\n    ]\n  }}'
        )
    file.parent.mkdir(parents=True, exist_ok=True)
    unfinished = file.with_name(f"{file.name}.new")
    unfinished.write_text("{\n" + ",\n".join(texts) + "\n}\n")
    unfinished.replace(file)


def _to_json(run: Run) -> dict[str, Any]:
    """Returns a run as one flat object, without empty fields and without meaningless digits."""
    flat = asdict(run)
    flat |= flat.pop("measured")
    return {
        name: round(value, 3) if isinstance(value, float) else value
        for name, value in flat.items()
        if value is not None
    }


def _to_run(stored: dict[str, Any]) -> Run:
    measured = Measured(**{name: stored.pop(name) for name in Measured.__dataclass_fields__})
    return Run(measured=measured, **stored)
