"""Charts side by side in one SVG file: the service in colour, what it is compared with in grey."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import matplotlib
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, LogLocator, NullLocator

# The palette of Okabe and Ito, which people who see fewer colours can tell apart: https://jfly.uni-koeln.de/color/
COLOURS = ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9")
GREYS = (("#6e7781", "--"), ("#9aa4ad", ":"))  # each line has a pattern of its own
TEXT, GRID = "#24292f", "#d8dee4"
CHART_INCHES = (4.8, 3.2)

_SETTINGS: dict[Any, Any] = {  # matplotlib's stubs list every valid name
    "svg.fonttype": "none",  # text stays text
    "svg.hashsalt": "webhook_service",  # the same figures make the same file
    "figure.constrained_layout.wspace": 0.06,
    "font.size": 9,
    "text.color": TEXT,
    "axes.edgecolor": GRID,
    "axes.labelcolor": TEXT,
    "xtick.color": TEXT,
    "ytick.color": TEXT,
}


@dataclass(frozen=True, slots=True)
class Line:
    """One line of a chart: its points, from left to right."""

    name: str
    points: Sequence[tuple[float, float]]
    is_reference: bool = False


@dataclass(frozen=True, slots=True)
class Chart:
    """A chart: lines over ``along``, a logarithmic axis. The other axis begins at zero.

    If the other axis is ``logarithmic``, too, it begins and ends at a power of ten.
    """

    title: str
    along: str
    lines: Sequence[Line]
    logarithmic: bool = False


def draw_charts(path: Path, charts: Sequence[Chart]) -> None:
    """Draws the charts, and below them a legend of their lines, which have the same names in each chart."""
    with matplotlib.rc_context(_SETTINGS):
        width, height = CHART_INCHES
        figure = Figure(figsize=(width * len(charts), height), layout="constrained", facecolor="white")
        places = figure.subplots(1, len(charts), squeeze=False)[0]
        for number, (axes, chart) in enumerate(zip(places, charts, strict=True), start=1):
            _draw(axes, chart, name=f"chart-{number}")
        handles, names = figure.axes[0].get_legend_handles_labels()
        figure.legend(handles, names, loc="outside lower center", ncols=3, frameon=False)
        figure.savefig(path, format="svg", metadata={"Date": None, "Creator": None})


def _draw(axes: Axes, chart: Chart, name: str) -> None:
    colours, greys = iter(COLOURS), iter(GREYS)
    for number, line in enumerate(chart.lines, start=1):
        colour, pattern = next(greys) if line.is_reference else (next(colours), "-")
        xs, ys = zip(*line.points, strict=True)
        # The lines of the service are drawn over those that it is compared with.
        order = 2 if line.is_reference else 3
        drawn = axes.plot(xs, ys, pattern, color=colour, marker="o", markersize=3.5, label=line.name, zorder=order)
        drawn[0].set_gid(f"{name}-line-{number}")  # the id of the line in the file
    axes.set_title(chart.title, loc="left", fontweight="bold")
    axes.set_xlabel(chart.along)
    axes.set_xscale("log")
    axes.set_xticks(sorted({x for line in chart.lines for x, _ in line.points}))
    axes.xaxis.set_minor_locator(NullLocator())
    _scale_values(axes, [y for line in chart.lines for _, y in line.points], logarithmic=chart.logarithmic)
    for axis in (axes.xaxis, axes.yaxis):
        axis.set_major_formatter(FuncFormatter(_short))
    axes.grid(visible=True, axis="y", color=GRID, linewidth=0.8)
    axes.spines[["top", "right", "left"]].set_visible(False)
    axes.tick_params(length=0)


def _scale_values(axes: Axes, values: Sequence[float], *, logarithmic: bool) -> None:
    if not logarithmic:
        axes.set_ylim(0, max(values) * 1.08)
        return
    axes.set_yscale("log")
    first, last = math.floor(math.log10(min(values))), math.ceil(math.log10(max(values)))
    axes.set_ylim(10**first, 10 ** max(last, first + 1))
    axes.yaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
    axes.yaxis.set_minor_locator(NullLocator())


def _short(value: float, _position: int | None = None) -> str:
    for size, letter in ((1_000_000, "M"), (1_000, "k")):
        if value >= size:
            return f"{value / size:g}{letter}"
    return f"{value:g}"
