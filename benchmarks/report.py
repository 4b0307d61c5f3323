"""Makes the tables of docs/performance.md, and docs/throughput.svg, from the recorded runs of ingest."""

from collections.abc import Sequence
from pathlib import Path

from benchmarks.charts import Chart, Line, draw_charts
from benchmarks.gates import gates_table
from benchmarks.records import (
    INSERT_PER_REQUEST,
    NODE,
    POSTGRESQL,
    RESULTS,
    SERVICE,
    VIEW,
    Part,
    Parts,
    read_parts,
)
from benchmarks.servers import ROOT

PAGE = ROOT / "docs" / "performance.md"
PLOT = ROOT / "docs" / "throughput.svg"
BEGIN = "<!-- Figures of ingest: made by `make bench-report`, not by hand. -->"
END = "<!-- End of the figures of ingest. -->"

# Parts whose runs are not rounds of a comparison.
WITHOUT_ROUNDS = {"memory", "connections"}

SUBJECTS: Sequence[tuple[str, str, str]] = (
    ("sqlite", SERVICE, "the service on SQLite"),
    ("postgresql", POSTGRESQL, "the service on PostgreSQL"),
    ("sqlite", NODE, "plain Node"),
    ("sqlite", INSERT_PER_REQUEST, "insert per request"),
    ("sqlite", VIEW, "the view, which stores nothing"),
)
LINES = {
    SERVICE: "the service on SQLite, synced",
    NODE: "plain Node on SQLite, synced",
    VIEW: "a view that stores nothing, on gthread",
}


def figures(parts: Parts) -> str:
    """Returns all that the page says about the runs, as Markdown."""
    tables = [subjects_table(parts), gates_table(parts)]
    return "\n\n".join([circumstances(parts), *tables, failures(parts)])


def circumstances(parts: Parts) -> str:
    """Returns a sentence about rounds and machine; a list of sentences if parts differ in them."""
    names_by_text: dict[str, list[str]] = {}
    for name, part in parts.items():
        if name not in WITHOUT_ROUNDS:
            names_by_text.setdefault(_circumstances_of(part), []).append(name)
    if len(names_by_text) == 1:
        return next(iter(names_by_text))
    return "\n".join(f"* {', '.join(names)}: {text[0].lower()}{text[1:]}" for text, names in names_by_text.items())


def _circumstances_of(part: Part) -> str:
    rounds, seconds = max(run.round for run in part.runs), part.runs[0].seconds
    facts = part.machine
    node = f", Node {facts['node']}" if "node" in facts else ""
    return (
        f"Medians of {rounds} rounds of {seconds:g} seconds on {facts['date']}: {facts['cores']} cores, "
        f"Linux {facts['kernel']}, Python {facts['python']}, SQLite {facts['sqlite']}{node}."
    )


def subjects_table(parts: Parts) -> str:
    """Returns the medians of each subject, by number of connections."""
    rows = [
        f"| {title} | {load.connections} | {median.rate:,.0f} | {median.p50:.1f} | {median.p99:.1f} "
        f"| {median.processor:.0f} |"
        for name, subject, title in SUBJECTS
        if name in parts
        for load, median in parts[name].medians().items()
        if load.subject == subject
    ]
    header = "| | connections | deliveries a second | p50, ms | p99, ms | processor time a delivery, µs |"
    return "\n".join([header, "|---|---|---|---|---|---|", *rows])


def failures(parts: Parts) -> str:
    """Returns a sentence about the requests that failed."""
    runs = [run for part in parts.values() for run in part.runs]
    requests, errors = sum(run.measured.requests for run in runs), sum(run.measured.errors for run in runs)
    if not errors:
        return f"None of {requests:,} requests failed."
    subjects = dict.fromkeys(run.subject for run in runs if run.measured.errors)
    return f"**{errors:,} of {requests:,} requests failed**: {', '.join(subjects)}."


def on_page(page: str, made: str) -> str:
    """Returns the page with the given text between its two markers."""
    before, begin, rest = page.partition(BEGIN)
    _, end, after = rest.partition(END)
    if not begin or not end:
        raise ValueError(f"the page lacks one of the lines {BEGIN} and {END}")
    return f"{before}{BEGIN}\n{made}\n{END}{after}"


def plot(parts: Parts, path: Path) -> None:
    """Draws rate and p99 over the number of connections, if that was measured."""
    if part := parts.get("connections"):
        rate = Chart("deliveries a second", "connections", _lines(part, "rate"))
        p99 = Chart("p99 in ms", "connections", _lines(part, "p99"), logarithmic=True)
        draw_charts(path, [rate, p99])


def _lines(part: Part, figure: str) -> list[Line]:
    points: dict[str, list[tuple[float, float]]] = {}
    for load, median in part.medians().items():
        points.setdefault(load.subject, []).append((load.connections, getattr(median, figure)))
    return [
        Line(title, points[subject], is_reference=subject != SERVICE)
        for subject, title in LINES.items()
        if subject in points
    ]


def main() -> None:
    """Writes the page and the plot."""
    parts = read_parts(RESULTS)
    PAGE.write_text(on_page(PAGE.read_text(), figures(parts)))
    plot(parts, PLOT)


if __name__ == "__main__":
    main()
