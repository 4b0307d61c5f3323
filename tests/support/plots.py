"""Reads the plots of the benchmarks back from their SVG files."""

import re
from collections.abc import Iterator
from pathlib import Path
from xml.etree import ElementTree

SVG = "{http://www.w3.org/2000/svg}"

Point = tuple[float, float]


def lines(plot: Path) -> dict[str, list[Point]]:
    """Returns the points of each line by its id, from left to right, in the coordinates of the picture."""
    groups = ElementTree.parse(plot).iter(f"{SVG}g")
    return {group.attrib["id"]: _points(group) for group in groups if "-line-" in group.get("id", "")}


def colours(plot: Path) -> dict[str, str]:
    """Returns the colour of each line by its id, as #rrggbb."""
    groups = ElementTree.parse(plot).iter(f"{SVG}g")
    return {group.attrib["id"]: _colour(group) for group in groups if "-line-" in group.get("id", "")}


def words(plot: Path) -> list[str]:
    """Returns all text of the picture, in the order of the file."""
    return [element.text or "" for element in ElementTree.parse(plot).iter(f"{SVG}text")]


def _points(group: ElementTree.Element) -> list[Point]:
    return list(_pairs(_path(group).attrib["d"]))


def _pairs(commands: str) -> Iterator[Point]:
    for x, y in re.findall(r"[ML] ([\d.]+) ([\d.]+)", commands):
        yield float(x), float(y)


def _colour(group: ElementTree.Element) -> str:
    found = re.search(r"stroke: (#[0-9a-f]{6})", _path(group).attrib["style"])
    assert found
    return found[1]


def _path(group: ElementTree.Element) -> ElementTree.Element:
    path = group.find(f"{SVG}path")
    assert path is not None
    return path
