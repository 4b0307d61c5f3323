"""The deployment in containers: the Makefile's targets, in a copy of the repository."""

import hmac
import json
import os
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from uuid import uuid4

import urllib3

NOT_DEPLOYED = shutil.ignore_patterns(".git", ".venv", ".env", ".*_cache", "__pycache__", "data", "secrets", "tests")
SECRET = "a secret that was there before"


class Stack:
    """One running deployment, with a project name, an ``.env`` and a published port of its own."""

    def __init__(self, target: str, folder: Path) -> None:
        self.project = f"webhook-test-{uuid4().hex[:8]}"
        self.folder = folder
        self.target = target
        self._environ = {name: value for name, value in os.environ.items() if name in {"PATH", "HOME"}}
        self._environ |= {name: value for name, value in os.environ.items() if name.startswith("DOCKER_")}
        self._environ |= {"COMPOSE_PROJECT_NAME": self.project, "PUBLISH": "127.0.0.1:"}
        self._http = urllib3.PoolManager(retries=False, timeout=40)
        self._url = ""
        self.said = ""

    def up(self) -> None:
        self.said = self.run("make", "--silent", self.target)
        self._url = f"http://{self.compose('port', 'nginx', '8080').strip()}"

    def down(self) -> None:
        self.run("make", "down")

    def destroy(self) -> None:
        self.run("make", "destroy", "CONFIRM=yes")

    def files(self) -> list[str]:
        """The files of Compose that this is started with."""
        return ["docker-compose.yml", *(["deploy/compose.postgres.yml"] if self.target == "up-postgres" else [])]

    def volumes(self) -> list[str]:
        ours = f"label=com.docker.compose.project={self.project}"
        return self.run("docker", "volume", "ls", "--quiet", "--filter", ours).split()

    def run(self, *command: str) -> str:
        ran = subprocess.run(
            command, cwd=self.folder, env=self._environ, stdin=subprocess.DEVNULL, capture_output=True, text=True
        )
        assert ran.returncode == 0, f"{command} failed:\n{ran.stdout}\n{ran.stderr}"
        return ran.stdout

    def compose(self, *arguments: str) -> str:
        return self.run("docker", "compose", *arguments)

    def in_app(self, *command: str) -> str:
        return self.compose("exec", "-T", "app", *command).strip()

    def inspect(self, service: str, template: str) -> str:
        container = self.compose("ps", "--all", "--quiet", service).strip()
        return self.run("docker", "inspect", "--format", template, container).strip()

    def env_file(self) -> dict[str, str]:
        lines = (self.folder / ".env").read_text().splitlines()
        return dict(line.split("=", 1) for line in lines)

    def request(
        self, method: str, path: str, headers: dict[str, str] | None = None, body: bytes | Iterator[bytes] | None = None
    ) -> urllib3.BaseHTTPResponse:
        """Makes a request on a connection of its own: nginx may close one that is kept at any time, as it reloads."""
        headers = {"Connection": "close", **(headers or {})}
        return self._http.request(method, self._url + path, headers=headers, body=body)

    def deliver(self, message: dict[str, str]) -> urllib3.BaseHTTPResponse:
        body = json.dumps(message).encode()
        signature = hmac.digest(SECRET.encode(), body, "sha256").hex()
        return self.request("POST", "/webhook", {"Content-Type": "application/json", "X-Signature": signature}, body)

    def read(self, path: str) -> Any:
        response = self.request("GET", path, {"Authorization": f"Bearer {self.env_file()['API_TOKEN']}"})
        assert response.status == 200, response.data
        return response.json()

    def is_ready(self) -> bool:
        return self.request("GET", "/health/ready").status == 200


def a_message(**fields: str) -> dict[str, str]:
    message = {
        "message_id": f"m-{uuid4()}",
        "from": "+4915112345678",
        "to": "+4930123456",
        "ts": "2025-01-15T10:00:00Z",
        "text": "Hello",
    }
    return message | fields
