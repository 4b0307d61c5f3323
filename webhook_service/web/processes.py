"""The metrics of the server's processes, as one process would have them.

Names and meanings: https://prometheus.io/docs/instrumenting/writing_clientlibs/#process-metrics
"""

import os
from collections.abc import Iterator
from contextlib import suppress
from functools import partial
from pathlib import Path

from prometheus_client import ProcessCollector
from prometheus_client.metrics_core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

_PROC = Path("/proc")
_CHILDREN_USER_TIME, _CHILDREN_SYSTEM_TIME = 13, 14  # in proc_pid_stat(5), counted from the state, after the name


class ServerProcesses(Collector):
    """Collects the metrics of a process and its children: of gunicorn's arbiter and its workers.

    Memory and processor time are those of all of them together. Memory that they share is counted once, and the time
    of workers that have ended is in it, so that it never falls. Files are those of the process that has most of them
    open, since each has the limit for itself. There are no metrics where there is no /proc.
    """

    def __init__(self, pid: int) -> None:
        self._pid = pid

    def collect(self) -> Iterator[Metric]:
        """Reads them all anew."""
        processes = [values for pid in (self._pid, *_children(self._pid)) if (values := _read(pid))]
        if not processes or processes[0]["pid"] != self._pid:
            return
        gauge = GaugeMetricFamily
        total = partial(_total, processes)
        yield gauge(
            "process_resident_memory_bytes", "Memory of all processes; what they share counts once.", total("memory")
        )
        yield gauge(
            "process_virtual_memory_bytes", "Virtual memory of all processes.", total("process_virtual_memory_bytes")
        )
        yield CounterMetricFamily(
            "process_cpu_seconds",
            "Processor time of all processes, those that have ended too.",
            total("process_cpu_seconds") + _seconds_of_ended_children(self._pid),
        )
        yield gauge(
            "process_start_time_seconds",
            "Start of the server since the epoch.",
            processes[0]["process_start_time_seconds"],
        )
        yield gauge(
            "process_open_fds",
            "Open files of the process that has most.",
            max(values["process_open_fds"] for values in processes),
        )
        yield gauge(
            "process_max_fds",
            "Open files that each process may have.",
            min(values["process_max_fds"] for values in processes),
        )


def _read(pid: int) -> dict[str, float]:
    """Reads what prometheus_client knows of a process, by its names; empty when there is none."""
    values = {
        metric.name: metric.samples[0].value for metric in ProcessCollector(pid=lambda: pid, registry=None).collect()
    }
    if "process_cpu_seconds" not in values or "process_open_fds" not in values:
        return {}
    return values | {"pid": pid, "memory": _share_of_memory(pid, values["process_resident_memory_bytes"])}


def _total(processes: list[dict[str, float]], name: str) -> float:
    return sum(values[name] for values in processes)


def _children(pid: int) -> list[int]:
    with suppress(OSError):
        return [int(child) for child in (_PROC / f"{pid}/task/{pid}/children").read_text().split()]
    return []


def _share_of_memory(pid: int, resident: float) -> float:
    """Returns the resident bytes of a process, of shared ones its part; all of them where the kernel doesn't tell."""
    with suppress(OSError):
        for line in (_PROC / f"{pid}/smaps_rollup").read_text().splitlines():
            if line.startswith("Pss:"):
                return float(line.split()[1]) * 1024
    return resident


def _seconds_of_ended_children(pid: int) -> float:
    with suppress(OSError):
        fields = (_PROC / f"{pid}/stat").read_text().rpartition(")")[2].split()
        return (int(fields[_CHILDREN_USER_TIME]) + int(fields[_CHILDREN_SYSTEM_TIME])) / os.sysconf("SC_CLK_TCK")
    return 0.0
