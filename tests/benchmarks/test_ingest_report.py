"""The tables and the plot of what ingest does a second."""

import re
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType

import pytest

from benchmarks.gates import GATES, Gate, Memory, Ratio, gates_table
from benchmarks.load import Measured
from benchmarks.records import NODE, RESULTS, SERVICE, VIEW, Load, Part, Run, read_parts, replace_parts
from benchmarks.report import BEGIN, END, PAGE, PLOT, circumstances, failures, figures, on_page, plot, subjects_table
from benchmarks.servers import Server
from tests.support.plots import colours, lines, words
from tests.support.processes import ROOT

MACHINE: Mapping[str, str | int] = MappingProxyType(
    {"cores": 2, "kernel": "6.1", "python": "3.11.7", "sqlite": "3.40.1", "date": "2026-01-15", "node": "24.21.0"}
)
SERVICE_AT_16, VIEW_AT_16 = Load(SERVICE, 16), Load(VIEW, 16)


def run(subject: str, rate: float, round_: int = 1, *, connections: int = 16, errors: int = 0) -> Run:
    """A run in which the latencies and the processor time follow from the rate."""
    measured = Measured(rate, p50=rate / 1000, p99=rate / 100, processor=rate / 10, requests=100, errors=errors)
    return Run(subject, connections, round_, seconds=8, measured=measured)


def part(*runs: Run) -> Part:
    """A part that was measured on some machine."""
    return Part(dict(MACHINE), runs)


def rows(table: str) -> list[list[str]]:
    """The cells of a Markdown table, without its header."""
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in table.splitlines()[2:]]


def test_the_page_says_what_the_committed_runs_say() -> None:
    page = PAGE.read_text()

    assert on_page(page, figures(read_parts(RESULTS))) == page


def test_the_readme_says_what_the_page_says() -> None:
    readme = (ROOT / "README.md").read_text()
    page = (ROOT / "docs" / "performance.md").read_text()

    said = re.findall(r"(\d\.\d\d) times", readme)

    assert len(said) == 3
    assert all(f"| {figure} (" in page for figure in said)


def test_the_committed_plot_is_drawn_from_the_committed_runs(tmp_path: Path) -> None:
    drawn = tmp_path / "plot.svg"

    plot(read_parts(RESULTS), drawn)

    assert words(drawn) == words(PLOT)
    assert lines(drawn).keys() == lines(PLOT).keys()
    for name, points in lines(drawn).items():
        assert points == [pytest.approx(point, abs=0.5) for point in lines(PLOT)[name]]


@pytest.mark.parametrize("gate", GATES, ids=lambda gate: gate.what)
def test_every_gate_has_a_figure_in_the_committed_runs(gate: Gate) -> None:
    assert gate.find(read_parts(RESULTS))


@pytest.mark.parametrize(
    ("limits", "goal", "verdict"),
    [
        ({"least": 0.5}, ">= 0.5", "reached"),
        ({"least": 0.51}, ">= 0.51", "**not reached**"),
        ({"most": 0.5}, "<= 0.5", "reached"),
        ({"most": 0.49}, "<= 0.49", "**not reached**"),
        ({}, "", ""),
    ],
    ids=["at its least", "below its least", "at its most", "above its most", "without a goal"],
)
def test_a_gate_compares_a_ratio_with_its_goal(limits: dict[str, float], goal: str, verdict: str) -> None:
    gate = Gate("sqlite", "rate / the view's", Ratio("rate", SERVICE_AT_16, VIEW_AT_16), **limits)

    found = gate.find({"sqlite": part(run(SERVICE, 2000), run(VIEW, 4000))})

    assert found
    assert found.text == "0.50 (2,000 / 4,000 a second; 200 / 400 µs)"
    assert (gate.goal(), gate.verdict(found.value)) == (goal, verdict)


def test_a_ratio_is_one_of_medians() -> None:
    rates = ((SERVICE, (1000, 5000, 3000)), (VIEW, (4000, 9000, 6000)))
    runs = [run(subject, rate, number) for subject, found in rates for number, rate in enumerate(found, start=1)]

    found = Ratio("p99", SERVICE_AT_16, VIEW_AT_16).find(part(*runs))

    assert found
    assert found.text == "0.50 (30.0 / 60.0 ms)"


def test_processor_time_is_compared_with_the_views() -> None:
    found = Ratio("processor", SERVICE_AT_16, VIEW_AT_16).find(part(run(SERVICE, 4000), run(VIEW, 3000)))

    assert found
    assert found.text == "1.33 (400 / 300 µs)"


def test_memory_is_that_in_the_end_and_grows_from_the_middle_on() -> None:
    measured = run(SERVICE, 1000).measured
    sizes = enumerate((60.0, 70.0, 71.0, 71.5), start=1)
    runs = part(*(Run(SERVICE, 16, number, 5, measured, megabytes=size) for number, size in sizes))

    in_the_end, growth = Memory().find(runs), Memory(growth=True).find(runs)

    assert in_the_end
    assert growth
    assert (in_the_end.value, in_the_end.text) == (71.5, "72 MB after 400 deliveries")
    assert (growth.value, growth.text) == (0.5, "+0.5 MB")


def test_the_table_leaves_out_what_was_not_measured() -> None:
    table = gates_table({"sqlite": part(run(SERVICE, 2000), run(VIEW, 4000))})

    assert [cells[0] for cells in rows(table)] == [
        "rate / the view's, 16 connections",
        "p99 / the view's, 16 connections",
        "processor time / the view's, 16 connections",
    ]


def test_each_subject_is_shown_with_each_number_of_connections() -> None:
    sqlite = part(run(SERVICE, 3000, connections=64), run(SERVICE, 2000), run(NODE, 1000))

    assert rows(subjects_table({"sqlite": sqlite})) == [
        ["the service on SQLite", "16", "2,000", "2.0", "20.0", "200"],
        ["the service on SQLite", "64", "3,000", "3.0", "30.0", "300"],
        ["plain Node", "16", "1,000", "1.0", "10.0", "100"],
    ]


def test_parts_of_one_machine_share_a_sentence_and_others_have_their_own() -> None:
    here = part(run(SERVICE, 1000), run(SERVICE, 1000, 2))
    there = Part({**MACHINE, "cores": 8}, here.runs)

    alone = circumstances({"sqlite": here, "full": here})
    apart = circumstances({"sqlite": here, "full": there})

    sentence = (
        "Medians of 2 rounds of 8 seconds on 2026-01-15: 2 cores, Linux 6.1, Python 3.11.7, SQLite 3.40.1, Node 24"
    )
    assert alone.startswith(sentence)
    assert [line.partition(": ")[0] for line in apart.splitlines()] == ["* sqlite", "* full"]
    assert "8 cores" in apart.splitlines()[1]


def test_requests_that_failed_are_said_with_their_subject() -> None:
    fine, bad = run(SERVICE, 1000), run(NODE, 1000, errors=3)

    assert failures({"sqlite": part(fine)}) == "None of 100 requests failed."
    assert failures({"sqlite": part(fine, bad)}) == "**3 of 200 requests failed**: plain Node."


def test_only_what_stands_between_the_marks_of_a_page_is_replaced() -> None:
    assert on_page(f"before\n{BEGIN}\nold\n{END}\nafter\n", "new") == f"before\n{BEGIN}\nnew\n{END}\nafter\n"


@pytest.mark.parametrize("page", ["", BEGIN, END, f"{END}{BEGIN}"])
def test_a_page_without_its_marks_is_refused(page: str) -> None:
    with pytest.raises(ValueError, match="lacks"):
        on_page(page, "new")


def test_a_part_that_is_measured_again_replaces_that_part_alone(tmp_path: Path) -> None:
    file = tmp_path / "results" / "ingest.json"
    first, second, third = part(run(SERVICE, 1000)), part(run(VIEW, 2000)), part(run(SERVICE, 3000), run(VIEW, 4000))
    replace_parts(file, {"sqlite": first, "full": second})

    replace_parts(file, {"sqlite": third})

    assert {name: list(found.runs) for name, found in read_parts(file).items()} == {
        "full": list(second.runs),
        "sqlite": list(third.runs),
    }
    assert read_parts(file)["sqlite"].machine == MACHINE
    assert [path.name for path in file.parent.iterdir()] == ["ingest.json"]


def test_the_service_is_drawn_in_colour_and_grey_what_it_is_compared_with(tmp_path: Path) -> None:
    drawn = tmp_path / "plot.svg"
    runs = [run(subject, 1000, connections=at) for subject in (SERVICE, NODE, VIEW) for at in (1, 2, 4)]

    plot({"connections": part(*runs)}, drawn)

    found = colours(drawn)
    assert sorted(found) == [f"chart-{chart}-line-{line}" for chart in (1, 2) for line in (1, 2, 3)]
    assert not is_grey(found["chart-1-line-1"])
    assert is_grey(found["chart-1-line-2"])
    assert is_grey(found["chart-1-line-3"])
    assert found["chart-1-line-2"] != found["chart-1-line-3"]
    (x1, _), (x2, _), (x3, _) = lines(drawn)["chart-1-line-1"]
    assert x2 - x1 == pytest.approx(x3 - x2)


def is_grey(colour: str) -> bool:
    """Tells whether red, green and blue are about the same."""
    parts = [int(colour[at : at + 2], 16) for at in (1, 3, 5)]
    return max(parts) - min(parts) < 32


def test_the_same_runs_make_the_same_file(tmp_path: Path) -> None:
    for name in ("first.svg", "second.svg"):
        plot({"connections": part(run(SERVICE, 1000))}, tmp_path / name)

    assert (tmp_path / "first.svg").read_bytes() == (tmp_path / "second.svg").read_bytes()


BURN_HALF_A_SECOND = "import time\nwhile time.process_time() < 0.5: pass\n"
BURN_AND_STAY = BURN_HALF_A_SECOND + "print('burnt', flush=True); input()"
FAMILY = f"""
import subprocess, sys
subprocess.run([sys.executable, "-c", {BURN_HALF_A_SECOND!r}], check=True)
living = subprocess.Popen([sys.executable, "-c", {BURN_AND_STAY!r}], stdin=subprocess.PIPE)
input()
living.communicate(b"\\n")
"""


def test_processor_time_is_that_of_all_processes_of_a_server_and_of_those_that_ended() -> None:
    with subprocess.Popen(
        [sys.executable, "-c", FAMILY], stdin=subprocess.PIPE, stdout=subprocess.PIPE, start_new_session=True
    ) as family:
        assert family.stdout
        assert family.stdout.readline() == b"burnt\n"
        spent = Server("", family.pid).processor_seconds()
        family.communicate(b"\n")

    assert 0.95 <= spent < 1.8
