"""The deployment in containers as its users run it: the Makefile's targets, in a copy of the repository."""

import hmac
import json
import os
import re
import shutil
import subprocess
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from threading import Event
from typing import Any
from urllib.parse import quote
from uuid import uuid4

import pytest
import urllib3

pytestmark = [pytest.mark.containers, pytest.mark.timeout(600)]

ROOT = Path(__file__).resolve().parents[2]
NOT_DEPLOYED = shutil.ignore_patterns(".git", ".venv", ".env", ".*_cache", "__pycache__", "data", "tests")
SECRET = "a secret that was there before"
MAX_BODY_BYTES = 3 * 2**20


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
        return self._http.request(method, self._url + path, headers=headers, body=body)

    def deliver(self, message: dict[str, str], headers: dict[str, str] | None = None) -> urllib3.BaseHTTPResponse:
        body = json.dumps(message).encode()
        signature = hmac.digest(SECRET.encode(), body, "sha256").hex()
        headers = {"Content-Type": "application/json", "X-Signature": signature, **(headers or {})}
        return self.request("POST", "/webhook", headers, body)

    def read(self, path: str) -> Any:
        response = self.request("GET", path, {"Authorization": f"Bearer {self.env_file()['API_TOKEN']}"})
        assert response.status == 200, response.data
        return response.json()

    def is_ready(self) -> bool:
        return self.request("GET", "/health/ready").status == 200


@pytest.fixture(scope="session")
def _docker() -> None:
    for command in (["docker", "version"], ["docker", "compose", "version"]):
        try:
            subprocess.run(command, check=True, capture_output=True, timeout=30)
        except (OSError, subprocess.SubprocessError):
            pytest.skip(f"'{' '.join(command)}' fails; with Docker and its Compose plugin: make test-containers")


@pytest.fixture(scope="module", params=["up", "up-postgres"], ids=["sqlite", "postgresql"])
def stack(_docker: None, request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    folder = shutil.copytree(ROOT, tmp_path_factory.mktemp("deployment") / "webhook_service", ignore=NOT_DEPLOYED)
    (folder / ".env").write_text(f"API_TOKEN=\nWEBHOOK_SECRET={SECRET}")
    stack = Stack(request.param, folder)
    try:
        stack.up()
        yield stack
    finally:
        stack.destroy()
    assert stack.volumes() == []


def a_message(**fields: str) -> dict[str, str]:
    message = {
        "message_id": f"m-{uuid4()}",
        "from": "+4915112345678",
        "to": "+4930123456",
        "ts": "2025-01-15T10:00:00Z",
        "text": "Hello",
    }
    return message | fields


def wait_until(condition: Callable[[], bool], seconds: float = 60) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, f"not so within {seconds} seconds"
        time.sleep(0.1)


def test_a_signed_delivery_is_stored_once_and_read_back_with_the_token(stack: Stack) -> None:
    message = a_message(**{"from": "+4915100000001"})

    answers = [stack.deliver(message) for _ in range(2)]

    assert [(answer.status, answer.json()) for answer in answers] == [(200, {"status": "ok"})] * 2
    found = stack.read("/messages?from=%2B4915100000001")
    assert found["total"] == 1
    assert found["data"][0].items() >= message.items()


def test_reading_without_the_token_is_refused(stack: Stack) -> None:
    response = stack.request("GET", "/messages")

    assert response.status == 401


@pytest.mark.parametrize("path", ["/metrics", "//metrics", "/%6Detrics"])
def test_metrics_are_not_served_through_the_proxy(stack: Stack, path: str) -> None:
    response = stack.request("GET", path)

    assert response.status == 403
    assert response.json() == {"detail": "not served through a proxy"}


def test_metrics_are_served_to_a_scraper_beside_the_app(stack: Stack) -> None:
    scrape = "import urllib.request; print(urllib.request.urlopen('http://app:8000/metrics').read().decode())"

    scraped = stack.in_app("python", "-c", scrape)

    assert "# TYPE http_requests_total counter" in scraped


@pytest.mark.parametrize("chunked", [False, True], ids=["length", "chunked"])
def test_a_body_over_the_limit_is_refused_in_json(stack: Stack, chunked: bool) -> None:
    body = bytes(MAX_BODY_BYTES + 1)

    response = stack.request("POST", "/webhook", body=iter([body]) if chunked else body)

    assert response.status == 413
    assert response.headers["Content-Type"] == "application/json"
    assert response.json() == {"detail": "body too large"}


def test_a_body_at_the_limit_reaches_the_app(stack: Stack) -> None:
    response = stack.request("POST", "/webhook", body=bytes(MAX_BODY_BYTES))

    assert response.status == 401
    assert response.json() == {"detail": "invalid signature"}


def test_a_message_id_with_a_slash_is_found(stack: Stack) -> None:
    message = a_message(message_id=f"wamid.{uuid4()}//a/../b%2F+c==")
    stack.deliver(message)

    found = stack.read(f"/messages/{quote(message['message_id'], safe='')}")

    assert found["message_id"] == message["message_id"]


@pytest.mark.parametrize("path", ["/health/live", "/metrics"], ids=["the app", "the proxy"])
def test_a_request_id_comes_back_from_whoever_answers(stack: Stack, path: str) -> None:
    response = stack.request("GET", path, {"X-Request-ID": "from-the-caller"})

    assert response.headers["X-Request-ID"] == "from-the-caller"


def test_the_app_has_no_privileges_and_no_tools(stack: Stack) -> None:
    status = stack.in_app("cat", "/proc/self/status")
    tools = stack.in_app("sh", "-c", "command -v cc gcc curl wget || true")
    mounts = stack.in_app("cat", "/proc/mounts")

    assert re.search(r"^Uid:\t10001\t10001\t10001\t10001$", status, re.MULTILINE)
    assert re.search(r"^CapBnd:\t0+$", status, re.MULTILINE)
    assert re.search(r"^NoNewPrivs:\t1$", status, re.MULTILINE)
    assert re.search(r"^\S+ / \S+ ro,", mounts, re.MULTILINE)
    assert tools == ""


def test_the_image_holds_no_env_file(stack: Stack) -> None:
    files = stack.in_app("ls", "-A", "/app").split()

    assert "wsgi.py" in files
    assert ".env" not in files


def test_up_writes_only_the_secrets_that_are_missing(stack: Stack) -> None:
    secrets = stack.env_file()

    assert secrets.pop("WEBHOOK_SECRET") == SECRET
    assert re.fullmatch("[0-9a-f]{64}", secrets.pop("API_TOKEN"))
    assert set(secrets) <= {"POSTGRES_PASSWORD"}


def test_no_secret_is_in_the_environment_of_a_container(stack: Stack) -> None:
    shown = [stack.inspect(service, "{{json .Config}}") for service in stack.compose("config", "--services").split()]

    assert not [secret for secret in stack.env_file().values() if secret in "".join(shown)]
    assert SECRET not in stack.in_app("sh", "-c", "tr '\\0' '\\n' </proc/1/environ")


def test_data_is_not_deleted_by_the_way(stack: Stack) -> None:
    with pytest.raises(AssertionError, match="this deletes every message"):
        stack.run("make", "destroy")

    assert len(stack.volumes()) >= 1


def test_a_second_up_changes_nothing(stack: Stack) -> None:
    secrets = stack.env_file()
    started = [stack.inspect(service, "{{.Id}} {{.State.StartedAt}}") for service in ("nginx", "app")]

    stack.up()

    assert stack.env_file() == secrets
    assert [stack.inspect(service, "{{.Id}} {{.State.StartedAt}}") for service in ("nginx", "app")] == started


def test_what_up_says_works_when_it_is_pasted(stack: Stack) -> None:
    pasted = [line for line in stack.said.splitlines() if line.startswith(("body=", "signature=", "curl ", "docker "))]

    answered = stack.run("bash", "-e", "-o", "pipefail", "-c", "\n".join(pasted))

    assert len(pasted) == 5
    assert answered.count('{"status":"ok"}') == 2
    assert '"text":"Hello"' in answered
    assert not any(secret in stack.said for secret in stack.env_file().values())


def test_messages_survive_down_and_up(stack: Stack) -> None:
    message = a_message()
    stack.deliver(message)

    stack.down()
    stack.up()

    assert stack.read(f"/messages/{message['message_id']}")["text"] == message["text"]


def test_every_acknowledged_message_survives_a_killed_app(stack: Stack) -> None:
    acknowledged: list[str] = []
    refused: list[int] = []
    enough = Event()

    def keep_delivering() -> None:
        while not enough.is_set():
            message = a_message()
            status = stack.deliver(message).status
            if status == 200:
                acknowledged.append(message["message_id"])
            else:
                refused.append(status)

    with ThreadPoolExecutor(1) as provider:
        delivering = provider.submit(keep_delivering)
        try:
            wait_until(lambda: len(acknowledged) >= 20)
            stack.compose("kill", "app")
            wait_until(lambda: len(refused) > 0)
        finally:
            enough.set()
    delivering.result()
    stack.up()

    assert set(refused) == {503}
    for message_id in acknowledged:
        assert stack.read(f"/messages/{message_id}")["message_id"] == message_id


def test_an_app_that_dies_is_started_again(stack: Stack) -> None:
    restarts = int(stack.inspect("app", "{{.RestartCount}}"))

    stack.in_app("python", "-c", "import os, signal; os.kill(1, signal.SIGQUIT)")

    wait_until(lambda: int(stack.inspect("app", "{{.RestartCount}}")) == restarts + 1)
    wait_until(stack.is_ready)


def test_the_proxy_asks_to_come_back_while_the_app_is_away_and_finds_it_at_another_address(stack: Stack) -> None:
    network = f"{stack.project}_app"
    address = f'{{{{(index .NetworkSettings.Networks "{network}").IPAddress}}}}'
    before = stack.inspect("app", address)
    stack.compose("stop", "app")
    run = ("docker", "run", "--detach", "--rm", "--network", network)
    squatter = stack.run(*run, "webhook-service", "sleep", "300").strip()

    try:
        away = stack.deliver(a_message())
        stack.compose("start", "app")
        wait_until(stack.is_ready)
        after = stack.inspect("app", address)
    finally:
        stack.run("docker", "rm", "--force", squatter)

    assert (away.status, away.headers["Retry-After"]) == (503, "5")
    assert away.json() == {"detail": "the service is not available"}
    assert after != before


def test_the_app_is_replaced_while_deliveries_go_on(stack: Stack) -> None:
    """Each delivery has a connection of its own: one that is kept may be closed at any time, by nginx's reload too."""
    before = set(stack.compose("ps", "--quiet", "app").split())
    nginx = stack.inspect("nginx", "{{.State.StartedAt}}")
    statuses: list[int] = []
    enough = Event()

    def keep_delivering() -> None:
        while not enough.is_set():
            statuses.append(stack.deliver(a_message(), {"Connection": "close"}).status)

    with ThreadPoolExecutor(2) as providers:
        delivering = [providers.submit(keep_delivering) for _ in range(2)]
        try:
            wait_until(lambda: len(statuses) >= 20)
            stack.run("make", "rolling-restart")
            after = set(stack.compose("ps", "--quiet", "app").split())
        finally:
            enough.set()
    for provider in delivering:
        provider.result()

    assert set(statuses) == {200}
    assert len(after) == len(before)
    assert not after & before
    assert stack.inspect("nginx", "{{.State.StartedAt}}") == nginx
    assert stack.read("/messages?limit=1")["total"] >= len(statuses)


def test_deliveries_go_to_every_app_that_there_is(stack: Stack) -> None:
    files = ["-f", "docker-compose.yml"]
    if stack.target == "up-postgres":
        files += ["-f", "deploy/compose.postgres.yml"]
    nginx = stack.inspect("nginx", "{{.State.StartedAt}}")
    stack.compose(*files, "up", "--detach", "--wait", "--scale", "app=2")

    def answered() -> list[int]:
        stack.deliver(a_message())
        logs = [stack.compose("logs", "--index", str(number), "--no-log-prefix", "app") for number in numbers]
        return [log.count('"result":"created"') for log in logs]

    names = stack.compose("ps", "--format", "{{.Name}}", "app").split()
    numbers = [int(name.rpartition("-")[2]) for name in names]
    wait_until(lambda: min(answered()) > 0)

    assert len(names) == 2
    assert stack.inspect("nginx", "{{.State.StartedAt}}") == nginx


def test_a_forwarder_is_started_as_its_page_says(stack: Stack) -> None:
    page = (ROOT / "docs" / "destinations.md").read_text()
    commands = next(block for block in re.findall(r"```sh\n(.*?)```", page, re.DOTALL) if "make up" in block)
    declared = '[destinations.shop]\nurl = "https://shop.example/hook"\nsecrets = [{env = "SHOP_SECRET"}]\n'
    (stack.folder / "webhook-service.toml").write_text(declared)
    files = "docker-compose.yml" + (":deploy/compose.postgres.yml" if stack.target == "up-postgres" else "")
    with (stack.folder / ".env").open("a") as env_file:
        env_file.write(f"COMPOSE_FILE={files}\nSHOP_SECRET=whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw\n")

    stack.run("bash", "-e", "-c", commands)

    wait_until(lambda: "pushing to shop" in stack.compose("logs", "--no-log-prefix", "forward"))
