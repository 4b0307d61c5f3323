"""Standard output, on which no line waits for a reader that has stopped.

A pipe that nobody reads is full after 64 KiB, and writing to it would then block every request. So lines are dropped
and counted, and as soon as there is room again, a line says how many were dropped.
"""

import os
import select
import socket
import stat
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from functools import partial
from threading import Lock

import orjson

PATIENCE = 0.1  # seconds that lines wait for room, unless the lines before them waited in vain


def _ignore(_number: int) -> None:
    """Ignores the number of dropped lines."""


class Lines:
    """Writes whole lines to a file descriptor, and waits for its reader no longer than ``PATIENCE``.

    ``on_drop`` is called with the number of lines that were dropped.
    """

    def __init__(self, descriptor: int) -> None:
        self.on_drop: Callable[[int], None] = _ignore
        self._descriptor = descriptor
        self._lock = Lock()
        self._dropped = 0  # since the last line that was written
        mode = os.fstat(descriptor).st_mode
        self._waits_for_reader = stat.S_ISFIFO(mode) or stat.S_ISSOCK(mode)
        self._send = _sender(descriptor, mode) if self._waits_for_reader else partial(os.write, descriptor)

    def write(self, lines: bytes) -> None:
        """Writes lines, each of which ends in a newline. Raises OSError when the descriptor can't be written to."""
        if not self._waits_for_reader:
            self._send(lines)
            return
        with self._lock:
            for piece in _pieces(lines):
                self._write_or_drop(piece)

    def _write_or_drop(self, piece: bytes) -> None:
        if self._dropped and self._is_sent(_line_about(self._dropped)):
            self._dropped = 0
        if not self._dropped and (
            self._is_sent(piece) or (_has_room(self._descriptor, PATIENCE) and self._is_sent(piece))
        ):
            return
        number = piece.count(b"\n") or 1
        self._dropped += number
        self.on_drop(number)

    def _is_sent(self, piece: bytes) -> bool:
        try:
            return self._send(piece) == len(piece)
        except BlockingIOError:
            return False


def _has_room(descriptor: int, seconds: float) -> bool:
    poll = select.poll()
    poll.register(descriptor, select.POLLOUT)
    return bool(poll.poll(seconds * 1000))


def _sender(descriptor: int, mode: int) -> Callable[[bytes], int]:
    """Returns a function that writes without waiting; O_NONBLOCK on the descriptor would affect all who share it."""
    if stat.S_ISSOCK(mode):
        return partial(_send_to_socket, descriptor)
    try:
        return partial(os.write, os.open(f"/proc/self/fd/{descriptor}", os.O_WRONLY | os.O_NONBLOCK | os.O_CLOEXEC))
    except OSError:  # the pipe was made by another user, as in a container
        return partial(_send_if_there_is_room, descriptor)


def _send_if_there_is_room(descriptor: int, piece: bytes) -> int:
    # If another process takes the room in between, this waits for the reader.
    return os.write(descriptor, piece) if _has_room(descriptor, 0) else 0


def _send_to_socket(descriptor: int, piece: bytes) -> int:
    with socket.socket(fileno=os.dup(descriptor)) as stream:
        return stream.send(piece, socket.MSG_DONTWAIT)


def _pieces(lines: bytes) -> Iterator[bytes]:
    """Splits lines, if possible at their ends, into pieces that a pipe takes whole or not at all (pipe(7))."""
    start = 0
    while len(lines) - start > select.PIPE_BUF:
        end = lines.rfind(b"\n", start, start + select.PIPE_BUF) + 1 or start + select.PIPE_BUF
        yield lines[start:end]
        start = end
    yield lines[start:]


def _line_about(dropped: int) -> bytes:
    return orjson.dumps(
        {
            "ts": datetime.now(UTC),
            "level": "WARNING",
            "logger": __name__,
            "message": "lines were dropped, as nobody read them",
            "dropped": dropped,
        },
        option=orjson.OPT_UTC_Z | orjson.OPT_APPEND_NEWLINE,
    )


STDOUT = Lines(1)
