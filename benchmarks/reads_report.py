"""The measured cost of reads, kept in a file, and shown as a table with the goals and as plots."""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import orjson

from benchmarks.charts import Chart, Line, draw_charts

PAGE, STATS, TIMELINE = "page", "stats", "timeline"
NAMES = {"sqlite": "SQLite", "postgresql": "PostgreSQL"}

FLAT_FROM = 100_000  # messages; with more, a figure must not get worse by more than MOST_GROWTH times
MOST_GROWTH = 2.0


@dataclass(frozen=True, slots=True)
class Latency:
    """The milliseconds that ``times`` answers took."""

    p50: float
    p99: float
    times: int

    @classmethod
    def of(cls, milliseconds: Sequence[float]) -> "Latency":
        """Returns the percentiles by nearest rank: the value that this many percent do not exceed."""
        ordered = sorted(milliseconds)
        p50, p99 = (ordered[-(-len(ordered) * percent // 100) - 1] for percent in (50, 99))
        return cls(p50, p99, len(ordered))


@dataclass(frozen=True, slots=True)
class Result:
    """The figures of one database; the keys of latencies are "kind: question"."""

    database: str
    messages: int
    senders: int
    latencies: dict[str, Latency]
    figures: dict[str, float]

    def worst(self, kind: str, percentile: str) -> float:
        """Returns the percentile of the slowest question of a kind."""
        found = (latency for name, latency in self.latencies.items() if name.startswith(f"{kind}: "))
        milliseconds: list[float] = [getattr(latency, percentile) for latency in found]
        return max(milliseconds)


class Results:
    """All results so far, each on disk as soon as it is there."""

    def __init__(self, file: Path, results: list[Result]) -> None:
        self._file = file
        self._results = results

    @classmethod
    def read(cls, file: Path) -> "Results":
        """Reads the results in the file; none if there is no file yet."""
        stored = orjson.loads(file.read_bytes()) if file.exists() else []
        return cls(file, [_to_result(each) for each in stored])

    def add(self, result: Result) -> None:
        """Adds a result, and writes the file, whole or not at all."""
        self._results.append(result)
        self._file.parent.mkdir(parents=True, exist_ok=True)
        unfinished = self._file.with_name(f"{self._file.name}.new")
        unfinished.write_bytes(orjson.dumps([asdict(each) for each in self._results], option=orjson.OPT_INDENT_2))
        unfinished.replace(self._file)

    def has(self, database: str, messages: int, senders: int) -> bool:
        """Tells whether this combination was measured already."""
        return any(each.messages == messages for each in self.of(database, senders))

    def of(self, database: str, senders: int | None = None) -> list[Result]:
        """Returns the results of a database, from the fewest messages to the most."""
        found = (each for each in self._results if each.database == database and senders in {None, each.senders})
        return sorted(found, key=lambda each: each.messages)

    def databases(self) -> list[str]:
        """Returns the kinds of databases that were measured."""
        return list(dict.fromkeys(each.database for each in self._results))


def _to_result(stored: dict[str, object]) -> Result:
    latencies = stored.pop("latencies")
    assert isinstance(latencies, dict)
    return Result(latencies={name: Latency(**each) for name, each in latencies.items()}, **stored)  # type: ignore[arg-type]  # written by asdict


@dataclass(frozen=True, slots=True)
class Goal:
    """A figure, and the most that it may be, or the least if ``more_is_better``, however many messages are stored."""

    name: str
    limit: float
    figure: Callable[[Result], float]
    more_is_better: bool = False
    must_stay_flat: bool = True

    def is_reached(self, figures: Iterable[float], growth: float | None) -> bool:
        """Tells whether these figures, and their growth from few messages to many, are all good enough."""
        within = (each >= self.limit if self.more_is_better else each <= self.limit for each in figures)
        return all(within) and (growth is None or growth <= MOST_GROWTH)

    def growth(self, results: Sequence[Result]) -> float | None:
        """Returns how many times worse the figure is with the most messages than with ``FLAT_FROM``, if known."""
        few = next((each for each in results if each.messages == FLAT_FROM), None)
        if not self.must_stay_flat or few is None or results[-1] is few:
            return None
        change = self.figure(results[-1]) / self.figure(few)
        return 1 / change if self.more_is_better else change


def _latency(kind: str, percentile: str, limit: float) -> Goal:
    return Goal(f"{kind}, {percentile} in ms", limit, lambda result: result.worst(kind, percentile))


def _rate(name: str, limit: float) -> Goal:
    return Goal(f"{name}, messages/s", limit, lambda result: result.figures[name], more_is_better=True)


def _megabytes(form: str, limit: float) -> Goal:
    name = f"export {form}, growth of a worker in MB"
    return Goal(name, limit, lambda result: result.figures[f"growth {form}"], must_stay_flat=False)


GOALS = (
    _latency(PAGE, "p50", 10),
    _latency(PAGE, "p99", 50),
    _latency(STATS, "p50", 10),
    _latency(TIMELINE, "p50", 30),
    _latency("q rare", "p50", 50),
    _latency("q common", "p50", 50),
    _latency("q absent", "p50", 50),
    _rate("feed", 50_000),
    _rate("export ndjson", 50_000),
    _rate("export csv", 50_000),
    _megabytes("ndjson", 20),
    _megabytes("csv", 20),
)


def table(results: Results) -> str:
    """Returns the worst figure of each kind beside its goal, as Markdown."""
    parts = []
    for database in results.databases():
        for senders in sorted({each.senders for each in results.of(database)}):
            parts += [f"\n{NAMES[database]}, {senders:,} senders\n", *_rows(results.of(database, senders))]
    return "\n".join(parts)


def _rows(results: Sequence[Result]) -> Iterable[str]:
    sizes = [f"{each.messages:,}" for each in results]
    yield _row("what", "goal", *sizes, "growth", "")
    yield _row(*["---"] * (len(sizes) + 4))
    for goal in GOALS:
        figures, growth = [goal.figure(each) for each in results], goal.growth(results)
        yield _row(
            goal.name,
            f"{'>=' if goal.more_is_better else '<='} {goal.limit:,.0f}",
            *(f"{figure:,.0f}" if goal.more_is_better else f"{figure:.1f}" for figure in figures),
            "" if growth is None else f"x {growth:.1f}",
            "reached" if goal.is_reached(figures, growth) else "**not reached**",
        )


def _row(*cells: str) -> str:
    return f"| {' | '.join(cells)} |"


def draw(results: Results, folder: Path) -> None:
    """Draws a plot for each database: percentiles over the number of messages, for the slower number of senders."""
    for database in results.databases():
        found = results.of(database)
        charts = [
            Chart(
                f"{NAMES[database]}: {percentile} in ms",
                "messages stored",
                [Line(name, _points(found, kind, percentile)) for name, kind in _LINES.items()],
                logarithmic=True,
            )
            for percentile in ("p50", "p99")
        ]
        draw_charts(folder / f"reads-{database}.svg", charts)


_LINES = {
    "slowest page": PAGE,
    "stats": STATS,
    "timeline": TIMELINE,
    "q, rare word": "q rare",
    "q, common word": "q common",
    "q, absent word": "q absent",
}


def _points(results: Sequence[Result], kind: str, percentile: str) -> list[tuple[float, float]]:
    slowest: dict[int, float] = {}
    for each in results:
        slowest[each.messages] = max(slowest.get(each.messages, 0), each.worst(kind, percentile))
    return sorted(slowest.items())
