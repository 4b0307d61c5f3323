"""The table and the plots of what reads cost."""

import math
from pathlib import Path

import pytest

from benchmarks.reads_report import GOALS, Latency, Result, Results, draw, table
from tests.support.plots import lines

FIGURES = {
    "feed": 160_000.0,
    "export ndjson": 70_000.0,
    "export csv": 60_000.0,
    "growth ndjson": 9.0,
    "growth csv": 5.0,
}
KINDS = ("page", "stats", "timeline", "q rare", "q common", "q absent")


def result(messages: int, p50: float = 4, database: str = "sqlite", senders: int = 2_000, **figures: float) -> Result:
    """A result that reaches every goal unless some of its figures are others."""
    latencies = {f"{kind}: {at}": Latency(p50 - at, 20, 200) for kind in KINDS for at in (0, 1)}
    return Result(database, messages, senders, latencies, {**FIGURES, **figures})


def verdicts(*results: Result) -> dict[str, str]:
    """What the table says of each figure."""
    cells = [line.split(" | ") for line in table(Results(Path(), list(results))).splitlines() if line.startswith("| ")]
    return {row[0].removeprefix("| "): row[-1].removesuffix(" |") for row in cells[2:]}


def test_a_latency_is_said_by_nearest_rank() -> None:
    assert Latency.of([float(number) for number in range(200, 0, -1)]) == Latency(100, 198, 200)
    assert Latency.of([7]) == Latency(7, 7, 1)


def test_good_figures_reach_every_goal() -> None:
    said = verdicts(result(100_000), result(10_000_000, p50=7.9))

    assert said == {goal.name: "reached" for goal in GOALS}


def test_the_slowest_question_of_a_kind_decides() -> None:
    said = verdicts(result(10_000, p50=10.5))

    assert said["page, p50 in ms"] == "**not reached**"
    assert said["timeline, p50 in ms"] == "reached"


def test_a_rate_has_to_be_reached_with_any_number_of_messages() -> None:
    said = verdicts(result(10_000, feed=49_999), result(100_000))

    assert said["feed, messages/s"] == "**not reached**"


@pytest.mark.parametrize(
    ("worse", "name"),
    [(result(10_000_000, p50=8.1), "page, p50 in ms"), (result(10_000_000, feed=79_000), "feed, messages/s")],
    ids=["latency", "rate"],
)
def test_what_gets_twice_as_bad_with_more_messages_is_not_reached(worse: Result, name: str) -> None:
    assert verdicts(result(100_000), worse)[name] == "**not reached**"


def test_results_are_read_back_as_they_were_written(tmp_path: Path) -> None:
    file = tmp_path / "data" / "reads.json"
    Results.read(file).add(result(10_000))
    Results.read(file).add(result(10_000, database="postgresql", senders=200_000))

    results = Results.read(file)

    assert results.of("sqlite") == [result(10_000)]
    assert results.has("postgresql", 10_000, 200_000)
    assert not results.has("postgresql", 10_000, 2_000)


def test_each_database_has_a_plot_of_two_charts(tmp_path: Path) -> None:
    sizes = [10_000, 100_000, 1_000_000]

    draw(Results(tmp_path, [result(size, p50=math.sqrt(size)) for size in sizes]), tmp_path)

    (plot,) = tmp_path.iterdir()
    drawn = lines(plot)
    assert plot.name == "reads-sqlite.svg"
    assert list(drawn) == [f"chart-{chart}-line-{line}" for chart in (1, 2) for line in range(1, len(KINDS) + 1)]
    # On two logarithmic axes a root is straight.
    (x1, y1), (x2, y2), (x3, y3) = drawn["chart-1-line-1"]
    assert x1 < x2 < x3
    assert y1 > y2 > y3
    assert [x2 - x1, y2 - y1] == pytest.approx([x3 - x2, y3 - y2], abs=0.2)
