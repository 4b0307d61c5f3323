"""Two small charts side by side, as SVG: no library is worth its weight for this."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from html import escape
from pathlib import Path

WIDTH, HEIGHT, LEFT, TOP, BOTTOM = 460, 300, 64, 40, 52
COLOURS = ("#1f6feb", "#8b949e")


@dataclass(frozen=True, slots=True)
class Series:
    """One line of each chart."""

    name: str
    connections: Sequence[int]
    rates: Sequence[float]
    latencies: Sequence[float]


def write_plot(path: Path, series: Sequence[Series]) -> None:
    """Deliveries a second, and p99 in milliseconds, over the number of connections."""
    charts = [
        _chart("deliveries a second", [(line, line.rates) for line in series]),
        _chart("p99 in ms", [(line, line.latencies) for line in series]),
    ]
    body = "".join(
        f'<g transform="translate({index * (WIDTH + 20)},0)">{chart}</g>' for index, chart in enumerate(charts)
    )
    legend = "".join(
        f'<text x="{LEFT + index * 340}" y="{HEIGHT + 24}" fill="{COLOURS[index]}">&#9632; {escape(line.name)}</text>'
        for index, line in enumerate(series)
    )
    path.write_text(
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {2 * WIDTH + 20} {HEIGHT + 36}" '
        f'font-family="sans-serif" font-size="12"><rect width="100%" height="100%" fill="#fff"/>{body}{legend}</svg>\n'
    )


def _chart(title: str, lines: Sequence[tuple[Series, Sequence[float]]]) -> str:
    connections = lines[0][0].connections
    top = _round_up(max(max(values) for _, values in lines))
    parts = [f'<text x="{LEFT}" y="22" font-weight="bold">{escape(title)}</text>']
    for step in range(5):
        value = top * step / 4
        y = _y(value, top)
        parts.append(f'<line x1="{LEFT}" x2="{WIDTH - 10}" y1="{y:.1f}" y2="{y:.1f}" stroke="#d0d7de"/>')
        parts.append(f'<text x="{LEFT - 6}" y="{y + 4:.1f}" text-anchor="end" fill="#57606a">{value:,.0f}</text>')
    for number in connections:
        x = _x(number, connections)
        parts.append(
            f'<text x="{x:.1f}" y="{HEIGHT - BOTTOM + 18}" text-anchor="middle" fill="#57606a">{number}</text>'
        )
    parts.append(
        f'<text x="{(LEFT + WIDTH) / 2}" y="{HEIGHT - 14}" text-anchor="middle" fill="#57606a">connections</text>'
    )
    for (line, values), colour in zip(lines, COLOURS, strict=False):
        points = " ".join(
            f"{_x(number, connections):.1f},{_y(value, top):.1f}"
            for number, value in zip(line.connections, values, strict=True)
        )
        parts.append(f'<polyline points="{points}" fill="none" stroke="{colour}" stroke-width="2"/>')
    return "".join(parts)


def _x(number: int, connections: Sequence[int]) -> float:
    span = math.log2(connections[-1] / connections[0])
    return LEFT + 10 + (WIDTH - LEFT - 30) * math.log2(number / connections[0]) / span


def _y(value: float, top: float) -> float:
    return HEIGHT - BOTTOM - (HEIGHT - BOTTOM - TOP) * value / top


def _round_up(value: float) -> float:
    magnitude = 10 ** math.floor(math.log10(value))
    return next(step * magnitude for step in (1, 2, 4, 6, 8, 10) if value <= step * magnitude)
