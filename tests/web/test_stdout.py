"""Lines whose reader stops: they are dropped, counted, and waited for only once."""

import json
import os
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from time import monotonic

import pytest

from webhook_service.web.stdout import PATIENCE, Lines

LINE = b'{"message":"a line"}\n'


@contextmanager
def stream(kind: str) -> Iterator[tuple[int, int]]:
    """The ends to read from and to write to."""
    if kind == "pipe":
        ends = os.pipe()
    else:
        reader, writer = socket.socketpair()
        ends = (reader.detach(), writer.detach())
    yield ends
    for end in ends:
        os.close(end)


def read_all(descriptor: int) -> bytes:
    os.set_blocking(descriptor, False)
    received = b""
    try:
        while part := os.read(descriptor, 65536):
            received += part
    except BlockingIOError:
        return received
    return received


@pytest.mark.parametrize("kind", ["pipe", "socket"])
def test_lines_that_nobody_reads_are_dropped_and_counted(kind: str) -> None:
    counted: list[int] = []
    with stream(kind) as (reader, writer):
        lines = Lines(writer)
        lines.on_drop = counted.append
        begun = monotonic()
        for _ in range(200):
            lines.write(LINE * 500)
        took = monotonic() - begun

        written = read_all(reader).count(b"\n")
        lines.write(LINE)
        resumed = [json.loads(line) for line in read_all(reader).splitlines()]

        assert PATIENCE <= took < PATIENCE + 1
        assert sum(counted) > 0
        assert written + sum(counted) == 200 * 500
        assert [line.get("dropped") for line in resumed] == [sum(counted), None]
        assert os.get_blocking(writer)


def test_a_reader_that_is_a_little_late_gets_every_line() -> None:
    with stream("pipe") as (reader, writer):
        lines = Lines(writer)
        received = 0
        for _ in range(100):
            lines.write(LINE * 500)
            received += read_all(reader).count(b"\n")

        assert received == 100 * 500


def test_a_line_longer_than_a_pipe_takes_at_once_arrives_whole() -> None:
    with stream("pipe") as (reader, writer):
        Lines(writer).write(b"x" * 10_000 + b"\n" + LINE)

        assert read_all(reader) == b"x" * 10_000 + b"\n" + LINE
