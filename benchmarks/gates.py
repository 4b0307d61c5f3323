"""The figures that ingest must reach, and how each is found in the measured runs."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from benchmarks.load import Measured
from benchmarks.records import (
    BARE,
    BARE_POSTGRESQL,
    DUPLICATES,
    FULL,
    INSERT_PER_REQUEST,
    NODE,
    POSTGRESQL,
    SERVICE,
    VIEW,
    Load,
    Part,
    Parts,
)


@dataclass(frozen=True, slots=True)
class Found:
    """A figure, and the text that shows it beside the figures that it is made of."""

    value: float
    text: str


class Figure(Protocol):
    """A figure that is found in the runs of a part."""

    def find(self, part: Part) -> Found | None:
        """Returns the figure; None when what it is made of was not measured."""
        ...


@dataclass(frozen=True, slots=True)
class Ratio:
    """The ratio of a figure of one load to the same figure of another load."""

    name: str
    of: Load
    to: Load

    def find(self, part: Part) -> Found | None:
        medians = part.medians()
        of, to = medians.get(self.of), medians.get(self.to)
        if of is None or to is None:
            return None
        value = getattr(of, self.name) / getattr(to, self.name)
        stored = next((f"; {run.stored:,} stored" for run in part.of(self.of) if run.stored), "")
        return Found(value, f"{value:.2f} ({self._beside(of, to)}{stored})")

    def _beside(self, of: Measured, to: Measured) -> str:
        if self.name == "rate":
            return f"{of.rate:,.0f} / {to.rate:,.0f} a second; {of.processor:.0f} / {to.processor:.0f} µs"
        if self.name == "processor":
            return f"{of.processor:.0f} / {to.processor:.0f} µs"
        return f"{getattr(of, self.name):.1f} / {getattr(to, self.name):.1f} ms"


@dataclass(frozen=True, slots=True)
class Memory:
    """The memory of the largest worker at the end, in megabytes, or its growth in the last half of the runs."""

    growth: bool = False

    def find(self, part: Part) -> Found | None:
        megabytes = [run.megabytes for run in part.runs if run.megabytes is not None]
        if not megabytes:
            return None
        if self.growth:
            value = megabytes[-1] - megabytes[len(megabytes) // 2]
            return Found(value, f"{value:+.1f} MB")
        requests = sum(run.measured.requests for run in part.runs)
        return Found(megabytes[-1], f"{megabytes[-1]:.0f} MB after {requests:,} deliveries")


@dataclass(frozen=True, slots=True)
class Gate:
    """A figure of a part, and the least or the most that it may be; without a limit it is only reported."""

    part: str
    what: str
    figure: Figure
    least: float | None = None
    most: float | None = None

    def find(self, parts: Parts) -> Found | None:
        """Returns the figure; None when what it is made of was not measured."""
        part = parts.get(self.part)
        return self.figure.find(part) if part else None

    def goal(self) -> str:
        """Returns the limit as text; empty without a limit."""
        if self.least is not None:
            return f">= {self.least:g}"
        return "" if self.most is None else f"<= {self.most:g}"

    def verdict(self, value: float) -> str:
        """Returns the result of comparing the figure with the limit; empty without a limit."""
        if not self.goal():
            return ""
        is_reached = (self.least is None or value >= self.least) and (self.most is None or value <= self.most)
        return "reached" if is_reached else "**not reached**"


def _ratio(name: str, subject: str, reference: str, connections: int = 16) -> Ratio:
    return Ratio(name, Load(subject, connections), Load(reference, connections))


GATES: Sequence[Gate] = (
    Gate("sqlite", "rate / the view's, 16 connections", _ratio("rate", SERVICE, VIEW, 16), least=0.68),
    Gate("sqlite", "rate / the view's, 64 connections", _ratio("rate", SERVICE, VIEW, 64), least=1.0),
    Gate("sqlite", "p99 / the view's, 16 connections", _ratio("p99", SERVICE, VIEW, 16), most=1.2),
    Gate("sqlite", "p99 / the view's, 64 connections", _ratio("p99", SERVICE, VIEW, 64), most=1.0),
    Gate("sqlite", "rate / plain Node's, 16 connections", _ratio("rate", SERVICE, NODE, 16), least=1.15),
    Gate("sqlite", "rate / plain Node's, 64 connections", _ratio("rate", SERVICE, NODE, 64), least=1.6),
    Gate("sqlite", "processor time / the view's, 16 connections", _ratio("processor", SERVICE, VIEW, 16), most=1.34),
    Gate("sqlite", "processor time / the view's, 64 connections", _ratio("processor", SERVICE, VIEW, 64), most=1.0),
    Gate("sqlite", "rate at 64 connections / at 16", Ratio("rate", Load(SERVICE, 64), Load(SERVICE, 16)), least=0.9),
    Gate("sqlite", "rate / insert per request's", _ratio("rate", SERVICE, INSERT_PER_REQUEST), least=2.5),
    Gate("sqlite", "p50 / insert per request's, 1 connection", _ratio("p50", SERVICE, INSERT_PER_REQUEST, 1), most=1.3),
    Gate(
        "postgresql", "PostgreSQL, rate / the view's, 16 connections", _ratio("rate", POSTGRESQL, VIEW, 16), least=0.62
    ),
    Gate("postgresql", "PostgreSQL, rate / the view's, 64 connections", _ratio("rate", POSTGRESQL, VIEW, 64)),
    Gate("duplicates", "rate of duplicates only / of new deliveries", _ratio("rate", DUPLICATES, SERVICE), least=1.0),
    Gate("full", "rate on a full database / on an empty one", _ratio("rate", FULL, SERVICE), least=0.8),
    Gate("counts", "rate with counts and search / without", _ratio("rate", SERVICE, BARE), least=0.85),
    Gate(
        "counts",
        "PostgreSQL, rate with counts and search / without",
        _ratio("rate", POSTGRESQL, BARE_POSTGRESQL),
        least=0.85,
    ),
    Gate("memory", "memory of a worker", Memory(), most=100),
    Gate("memory", "its growth in the last half of the deliveries", Memory(growth=True), most=2),
)


def gates_table(parts: Parts) -> str:
    """Returns the gates for which the measured parts have a figure, as Markdown."""
    found = [(gate, figure) for gate in GATES if (figure := gate.find(parts))]
    rows = [f"| {gate.what} | {figure.text} | {gate.goal()} | {gate.verdict(figure.value)} |" for gate, figure in found]
    return "\n".join(["| what | found | must reach | |", "|---|---|---|---|", *rows])
