"""Debian's Prometheus and Alertmanager with the shipped configuration."""

import shutil
import subprocess
import tempfile
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import urllib3

from tests.support.processes import ROOT
from tests.support.server import Server, free_port
from tests.support.waiting import wait_until

FILES = ROOT / "deploy" / "monitoring"
HOW_TO_ENABLE = "no Prometheus: 'apt-get install prometheus prometheus-alertmanager'"


def is_installed() -> bool:
    """Tells whether this machine has all the programs."""
    return all(map(shutil.which, ("prometheus", "promtool", "prometheus-alertmanager", "amtool")))


class Monitoring:
    """A Prometheus that scrapes these servers, each second instead of every 15, and an Alertmanager that it informs.

    As a context, both run during the block.
    """

    def __init__(self, *servers: Server) -> None:
        self._folder = Path(tempfile.mkdtemp(prefix="webhook_service-prometheus-"))
        self._ports = (free_port(), free_port())
        self._write_configuration(servers)
        self._processes: list[subprocess.Popen[bytes]] = []
        self._client = urllib3.PoolManager(retries=False, timeout=60)

    def __enter__(self) -> Self:
        prometheus, alertmanager = (f"127.0.0.1:{port}" for port in self._ports)
        self._start(
            *("prometheus-alertmanager", f"--config.file={FILES}/alertmanager.yml", "--cluster.listen-address="),
            *(f"--web.listen-address={alertmanager}", f"--storage.path={self._folder}/alertmanager"),
        )
        self._start(
            *("prometheus", f"--config.file={self._folder}/prometheus.yml"),
            *(f"--web.listen-address={prometheus}", f"--storage.tsdb.path={self._folder}/prometheus"),
        )
        for port in self._ports:
            wait_until(lambda port=port: self._is_ready(port), "the monitoring to be ready")  # type: ignore[misc]
        return self

    def __exit__(
        self, _type: type[BaseException] | None, _error: BaseException | None, _trace: TracebackType | None
    ) -> None:
        for process in self._processes:
            process.terminate()
        for process in self._processes:
            process.wait()
        self._client.clear()
        shutil.rmtree(self._folder)

    def query(self, expression: str) -> list[dict[str, Any]]:
        """Returns the series that match an expression now, each with its labels and value."""
        response = self._client.request(
            "POST", f"http://127.0.0.1:{self._ports[0]}/api/v1/query", fields={"query": expression}
        )
        answer = response.json()
        assert answer["status"] == "success", (expression, answer)
        result: list[dict[str, Any]] = answer["data"]["result"]
        return result

    def rules(self) -> list[dict[str, Any]]:
        """Returns the rules with their states."""
        answer = self._client.request("GET", f"http://127.0.0.1:{self._ports[0]}/api/v1/rules").json()
        return [rule for group in answer["data"]["groups"] for rule in group["rules"]]

    def alerts(self) -> list[dict[str, Any]]:
        """Returns the alerts that Alertmanager has received."""
        told: list[dict[str, Any]] = self._client.request(
            "GET", f"http://127.0.0.1:{self._ports[1]}/api/v2/alerts"
        ).json()
        return told

    def _write_configuration(self, servers: tuple[Server, ...]) -> None:
        shutil.copy(FILES / "alerts.yml", self._folder)
        text = (FILES / "prometheus.yml").read_text()
        targets = ", ".join(f'"127.0.0.1:{server.port}"' for server in servers)
        for shipped, of_the_test in {
            '["localhost:8000"]': f"[{targets}]",
            '"localhost:9093"': f'"127.0.0.1:{self._ports[1]}"',
            "scrape_interval: 15s": "scrape_interval: 1s",
            "scrape_timeout: 10s": "scrape_timeout: 1s",
            "evaluation_interval: 15s": "evaluation_interval: 1s",
        }.items():
            assert shipped in text
            text = text.replace(shipped, of_the_test)
        (self._folder / "prometheus.yml").write_text(text)

    def _start(self, *command: str) -> None:
        with (self._folder / f"{command[0]}.log").open("wb") as log:
            self._processes.append(subprocess.Popen(command, stdout=log, stderr=log, cwd=self._folder))

    def _is_ready(self, port: int) -> bool:
        try:
            return self._client.request("GET", f"http://127.0.0.1:{port}/-/ready").status == 200
        except urllib3.exceptions.HTTPError:
            return False
