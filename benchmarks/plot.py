"""Small charts side by side, as SVG: no library is worth its weight for this."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from html import escape
from pathlib import Path

WIDTH, HEIGHT, LEFT, TOP, BOTTOM, GAP = 460, 300, 64, 40, 52, 20
COLOURS = ("#1f6feb", "#8b949e", "#1a7f37", "#bf3989", "#d4a72c", "#bc4c00")


@dataclass(frozen=True, slots=True)
class Line:
    """One line of a chart: its points, from left to right."""

    name: str
    points: Sequence[tuple[float, float]]


@dataclass(frozen=True, slots=True)
class Chart:
    """Lines over ``along``, an axis on which twice as much is always as far; the other one begins at zero.

    Unless it is ``logarithmic`` too: then it begins and ends at a power of ten.
    """

    title: str
    along: str
    lines: Sequence[Line]
    logarithmic: bool = False


def write_plot(path: Path, charts: Sequence[Chart]) -> None:
    """Draws the charts, and below them a legend of their lines, which have the same names in each."""
    width = len(charts) * (WIDTH + GAP) - GAP
    body = "".join(
        f'<g transform="translate({index * (WIDTH + GAP)},0)">{_draw(chart)}</g>' for index, chart in enumerate(charts)
    )
    lines = charts[0].lines
    legend = "".join(
        f'<text x="{LEFT + index * (width - LEFT) / len(lines):.0f}" y="{HEIGHT + 24}" fill="{colour}">'
        f"&#9632; {escape(line.name)}</text>"
        for index, (line, colour) in enumerate(zip(lines, COLOURS, strict=False))
    )
    path.write_text(
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {HEIGHT + 36}" '
        f'font-family="sans-serif" font-size="12"><rect width="100%" height="100%" fill="#fff"/>{body}{legend}</svg>\n'
    )


@dataclass(frozen=True, slots=True)
class _Axis:
    """What of a chart's length a value is, and which values to write beside it."""

    least: float
    most: float
    ticks: Sequence[float]
    logarithmic: bool

    def part(self, value: float) -> float:
        if not self.logarithmic:
            return (value - self.least) / (self.most - self.least)
        # Of a single value, the middle.
        return math.log(value / self.least) / math.log(self.most / self.least) if self.most > self.least else 0.5


def _draw(chart: Chart) -> str:
    points = [point for line in chart.lines for point in line.points]
    along = _along(sorted({x for x, _ in points}))
    up = (_powers_of_ten if chart.logarithmic else _from_zero)([y for _, y in points])
    parts = [f'<text x="{LEFT}" y="22" font-weight="bold">{escape(chart.title)}</text>']
    for value in up.ticks:
        y = _y(up, value)
        parts.append(f'<line x1="{LEFT}" x2="{WIDTH - 10}" y1="{y:.1f}" y2="{y:.1f}" stroke="#d0d7de"/>')
        parts.append(f'<text x="{LEFT - 6}" y="{y + 4:.1f}" text-anchor="end" fill="#57606a">{_short(value)}</text>')
    parts += [
        f'<text x="{_x(along, value):.1f}" y="{HEIGHT - BOTTOM + 18}" text-anchor="middle" fill="#57606a">'
        f"{_short(value)}</text>"
        for value in along.ticks
    ]
    parts.append(
        f'<text x="{(LEFT + WIDTH) / 2}" y="{HEIGHT - 14}" text-anchor="middle" fill="#57606a">'
        f"{escape(chart.along)}</text>"
    )
    for line, colour in zip(chart.lines, COLOURS, strict=False):
        path = " ".join(f"{_x(along, x):.1f},{_y(up, y):.1f}" for x, y in line.points)
        parts.append(f'<polyline points="{path}" fill="none" stroke="{colour}" stroke-width="2"/>')
    return "".join(parts)


def _x(along: _Axis, value: float) -> float:
    return LEFT + 10 + (WIDTH - LEFT - 30) * along.part(value)


def _y(up: _Axis, value: float) -> float:
    return HEIGHT - BOTTOM - (HEIGHT - BOTTOM - TOP) * up.part(value)


def _along(values: Sequence[float]) -> _Axis:
    return _Axis(values[0], values[-1], values, logarithmic=True)


def _from_zero(values: Sequence[float]) -> _Axis:
    magnitude = 10 ** math.floor(math.log10(max(values)))
    top = next(step * magnitude for step in (1, 2, 4, 6, 8, 10) if max(values) <= step * magnitude)
    return _Axis(0, top, [top * step / 4 for step in range(5)], logarithmic=False)


def _powers_of_ten(values: Sequence[float]) -> _Axis:
    first, last = math.floor(math.log10(min(values))), math.ceil(math.log10(max(values)))
    ticks = [10.0**power for power in range(first, max(last, first + 1) + 1)]
    return _Axis(ticks[0], ticks[-1], ticks, logarithmic=True)


def _short(value: float) -> str:
    for size, letter in ((1_000_000, "M"), (1_000, "k")):
        if value >= size:
            return f"{value / size:g}{letter}"
    return f"{value:g}"
