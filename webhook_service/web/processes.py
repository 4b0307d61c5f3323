"""The metrics of the server's processes, presented as those of one process.

Names and meanings: https://prometheus.io/docs/instrumenting/writing_clientlibs/#process-metrics. The client library's
own collector knows one process, and needs /proc/stat, which a hardened unit hides (ProcSubset=pid).
"""

import os
import resource
import time
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from prometheus_client.metrics_core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

_PROC = Path("/proc")


@dataclass(frozen=True, slots=True)
class _Process:
    """One process: its memory in bytes, its times in seconds, and the number of its open files.

    ``memory`` is its resident memory; of memory that it shares with other processes, only its share counts.
    """

    memory: int
    virtual_memory: int
    seconds: float
    seconds_of_ended_children: float
    started: float
    files: int


class ServerProcesses(Collector):
    """Collects the metrics of a process and its children: of gunicorn's arbiter and its workers.

    Memory and processor time are those of all processes together. Memory that they share is counted once, and the time
    of workers that have ended is included, so that it never falls. Open files are those of the process that has most,
    since the limit is for each process. Without /proc there are no metrics.
    """

    def __init__(self, pid: int) -> None:
        self._pid = pid

    def collect(self) -> Iterator[Metric]:
        """Reads the processes anew."""
        server = _read(self._pid)
        if server is None:
            return
        processes = [server, *(process for pid in _children(self._pid) if (process := _read(pid)))]
        yield GaugeMetricFamily(
            "process_resident_memory_bytes",
            "Resident memory of all processes; what they share counts once.",
            sum(process.memory for process in processes),
        )
        yield GaugeMetricFamily(
            "process_virtual_memory_bytes",
            "Virtual memory of all processes.",
            sum(process.virtual_memory for process in processes),
        )
        yield CounterMetricFamily(
            "process_cpu_seconds",
            "Processor time of all processes, those that have ended too.",
            sum(process.seconds for process in processes) + server.seconds_of_ended_children,
        )
        yield GaugeMetricFamily("process_start_time_seconds", "Start of the server since the epoch.", server.started)
        yield GaugeMetricFamily(
            "process_open_fds", "Open files of the process that has most.", max(process.files for process in processes)
        )
        yield GaugeMetricFamily(
            "process_max_fds", "Open files that each process may have.", resource.getrlimit(resource.RLIMIT_NOFILE)[0]
        )


def _children(pid: int) -> list[int]:
    with suppress(OSError):
        return [int(child) for child in (_PROC / f"{pid}/task/{pid}/children").read_text().split()]
    return []


def _read(pid: int) -> _Process | None:
    """Reads a process by proc_pid_stat(5); None when it is gone."""
    with suppress(OSError):
        # The fields from the third on, the state: the second is a name in parentheses, which may hold anything.
        fields = (_PROC / f"{pid}/stat").read_text().rpartition(")")[2].split()
        user, system, childrens_user, childrens_system = map(_seconds, fields[11:15])
        running = time.clock_gettime(time.CLOCK_BOOTTIME) - _seconds(fields[19])
        return _Process(
            memory=_share_of_memory(pid) or int(fields[21]) * resource.getpagesize(),
            virtual_memory=int(fields[20]),
            seconds=user + system,
            seconds_of_ended_children=childrens_user + childrens_system,
            started=time.time() - running,
            files=len(list((_PROC / f"{pid}/fd").iterdir())),
        )
    return None


def _seconds(ticks: str) -> float:
    return int(ticks) / os.sysconf("SC_CLK_TCK")


def _share_of_memory(pid: int) -> int | None:
    """Returns the resident bytes of a process, and of shared ones its share; None if the kernel doesn't tell."""
    with suppress(OSError):
        for line in (_PROC / f"{pid}/smaps_rollup").read_text().splitlines():
            if line.startswith("Pss:"):
                return int(line.split()[1]) * 1024
    return None
