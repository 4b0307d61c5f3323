"""Machines that the kernel plays: a network namespace each, on a bridge in one that is this process's own.

network_namespaces(7), veth(4)
"""

import ctypes
import os
import signal
import subprocess
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from tests.support.waiting import wait_until

CLONE_NEWNET = 0x40000000
PREFIX = "10.77.0"
_HERE = Path("/proc/thread-self/ns/net")

_libc = ctypes.CDLL(None, use_errno=True)


class Machine:
    """A host of the network, with an address of its own. What it runs may be killed, frozen or cut off."""

    def __init__(self, number: int) -> None:
        self.address = f"{PREFIX}.{number}"
        self._holder = subprocess.Popen(["unshare", "--net", "sleep", "infinity"], stdin=subprocess.DEVNULL)
        self._wait_for_namespace()
        here = f"node{number}"
        _ip("link", "add", here, "type", "veth", "peer", "name", "eth0", "netns", str(self._holder.pid))
        _ip("link", "set", here, "master", "bridge0", "up")
        for command in (
            ("link", "set", "lo", "up"),
            ("address", "add", f"{self.address}/24", "dev", "eth0"),
            ("link", "set", "eth0", "up"),
        ):
            self._ip(*command)

    def command(self, *command: str | Path) -> Sequence[str | Path]:
        """Returns a command that runs in here, as the user that PostgreSQL accepts and with an eye for every file."""
        return [
            *("nsenter", f"--net=/proc/{self._holder.pid}/ns/net"),
            *("setpriv", "--reuid=postgres", "--regid=postgres", "--clear-groups"),
            *("--inh-caps=+dac_read_search", "--ambient-caps=+dac_read_search"),
            *command,
        ]

    def signal(self, number: signal.Signals, programs: Path | None = None) -> None:
        """Sends a signal to all that runs in here, or to those of its programs that are in a folder."""
        told: set[int] = set()
        while new := set(self._processes(programs)) - told:  # a process may have started another meanwhile
            for pid in new:
                with suppress(ProcessLookupError):
                    os.kill(pid, number)
            told |= new

    def cut_off_from(self, others: Sequence["Machine"]) -> None:
        """Has nothing more arrive at the others from here, while everybody else still reaches this machine."""
        for other in others:
            self._ip("route", "add", "blackhole", f"{other.address}/32")

    def unplug(self) -> None:
        """Lets nothing in or out."""
        self._ip("link", "set", "eth0", "down")

    def join_again(self) -> None:
        """Undoes either."""
        self._ip("route", "flush", "type", "blackhole")
        self._ip("link", "set", "eth0", "up")

    def remove(self) -> None:
        """Ends all that runs in here; the namespace goes with the last."""
        self.signal(signal.SIGKILL)
        self._holder.kill()
        self._holder.wait()

    def _processes(self, programs: Path | None) -> list[int]:
        """The processes in here, but for the one that keeps the namespace."""
        inside = _link(self._holder.pid, "ns/net")
        pids = [int(entry.name) for entry in Path("/proc").iterdir() if entry.name.isdecimal()]
        return [
            pid
            for pid in pids
            if pid != self._holder.pid
            and _link(pid, "ns/net") == inside
            and (programs is None or programs in (_link(pid, "exe") or Path()).parents)
        ]

    def _ip(self, *arguments: str) -> None:
        subprocess.run(["nsenter", f"--net=/proc/{self._holder.pid}/ns/net", "ip", *arguments], check=True)

    def _wait_for_namespace(self) -> None:
        here = _HERE.readlink()
        wait_until(lambda: _link(self._holder.pid, "ns/net") != here, "a network namespace")


@contextmanager
def own_network() -> Iterator[None]:
    """Puts this thread, and what it starts from now on, into a network of its own, with a bridge for machines."""
    with _HERE.open() as before:
        _call("unshare", CLONE_NEWNET)
        try:
            _ip("link", "set", "lo", "up")
            _ip("link", "add", "bridge0", "type", "bridge")
            _ip("address", "add", f"{PREFIX}.254/24", "dev", "bridge0")
            _ip("link", "set", "bridge0", "up")
            yield
        finally:
            _call("setns", before.fileno(), CLONE_NEWNET)


def _link(pid: int, name: str) -> Path | None:
    """What a link in /proc says of a process; None when that has ended."""
    try:
        return Path(f"/proc/{pid}/{name}").readlink()
    except OSError:
        return None


def _call(function: str, *arguments: int) -> None:
    result: Any = getattr(_libc, function)(*arguments)
    if result != 0:
        number = ctypes.get_errno()
        raise OSError(number, f"{function}: {os.strerror(number)}")


def _ip(*arguments: str) -> None:
    subprocess.run(["ip", *arguments], check=True)
