"""The comparison of a destination beside a dead one with the same alone."""

from pathlib import Path

from benchmarks.backlog import Figures, compare, report
from benchmarks.fill import fill


def test_the_table_has_the_medians_of_the_rounds() -> None:
    rounds = [Figures(0.01 * at, 0.1 * at, 1_000.0 * at, 500.0 * at) for at in (3, 1, 2)]

    assert report({"without": rounds, "with": rounds[:1]}).splitlines()[2:] == [
        "| without | 20 ms | 200 ms | 2,000 | 1,000 |",
        "| with | 30 ms | 300 ms | 3,000 | 1,500 |",
    ]


def test_a_destination_is_measured_with_and_without_a_dead_one(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path}/app.db"
    fill(url, 500, 50)

    figures = compare(url, tmp_path, number=20, rounds=1)

    for (measured,) in figures.values():
        assert 0 < measured.p50 <= measured.p99
        assert min(measured.pushes, measured.ingest) > 0
