"""The deployment in containers is started, stopped, killed, replaced and extended."""

import re
from concurrent.futures import ThreadPoolExecutor
from threading import Event

import pytest

from tests.containers.stack import Stack, a_message
from tests.support.processes import ROOT
from tests.support.waiting import wait_until

pytestmark = [pytest.mark.containers, pytest.mark.timeout(600)]


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
            wait_until(lambda: len(acknowledged) >= 20, "deliveries to be acknowledged")
            stack.compose("kill", "app")
            wait_until(lambda: len(refused) > 0, "a delivery to be refused")
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

    wait_until(lambda: int(stack.inspect("app", "{{.RestartCount}}")) == restarts + 1, "the app to be started again")
    wait_until(stack.is_ready, "the app to be ready")


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
        wait_until(stack.is_ready, "the app to be ready")
        after = stack.inspect("app", address)
    finally:
        stack.run("docker", "rm", "--force", squatter)

    assert (away.status, away.headers["Retry-After"]) == (503, "5")
    assert away.json() == {"detail": "the service is not available"}
    assert after != before


def lines_of_an_upgrade(stack: Stack) -> str:
    """The commands of the page, but for the one that fetches the new release."""
    (block,) = re.findall(
        r"^In containers:\n\n((?:    .*\n)+)", (ROOT / "docs" / "upgrading.md").read_text(), re.MULTILINE
    )
    fetch, *lines = [line.strip() for line in block.splitlines()]
    assert fetch == "git pull"
    return "\n".join([f"export COMPOSE_FILE={':'.join(stack.files())}", *lines])


def test_the_app_is_upgraded_while_deliveries_go_on(stack: Stack) -> None:
    before = set(stack.compose("ps", "--quiet", "app").split())
    nginx = stack.inspect("nginx", "{{.State.StartedAt}}")
    statuses: list[int] = []
    enough = Event()

    def keep_delivering() -> None:
        while not enough.is_set():
            statuses.append(stack.deliver(a_message()).status)

    with ThreadPoolExecutor(2) as providers:
        delivering = [providers.submit(keep_delivering) for _ in range(2)]
        try:
            wait_until(lambda: len(statuses) >= 20, "deliveries to be answered")
            stack.run("bash", "-e", "-c", lines_of_an_upgrade(stack))
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
    files = [part for file in stack.files() for part in ("-f", file)]
    nginx = stack.inspect("nginx", "{{.State.StartedAt}}")
    stack.compose(*files, "up", "--detach", "--wait", "--scale", "app=2")

    def answered() -> list[int]:
        stack.deliver(a_message())
        logs = [stack.compose("logs", "--index", str(number), "--no-log-prefix", "app") for number in numbers]
        return [log.count('"result":"created"') for log in logs]

    names = stack.compose("ps", "--format", "{{.Name}}", "app").split()
    numbers = [int(name.rpartition("-")[2]) for name in names]
    wait_until(lambda: min(answered()) > 0, "every app to take a delivery")

    assert len(names) == 2
    assert stack.inspect("nginx", "{{.State.StartedAt}}") == nginx


def test_a_forwarder_is_started_as_its_page_says(stack: Stack) -> None:
    page = (ROOT / "docs" / "destinations.md").read_text()
    commands = next(block for block in re.findall(r"```sh\n(.*?)```", page, re.DOTALL) if "make up" in block)
    declared = '[destinations.shop]\nurl = "https://shop.example/hook"\nsecrets = [{env = "SHOP_SECRET"}]\n'
    (stack.folder / "webhook-service.toml").write_text(declared)
    with (stack.folder / ".env").open("a") as env_file:
        env_file.write(f"COMPOSE_FILE={':'.join(stack.files())}\nSHOP_SECRET=whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw\n")

    stack.run("bash", "-e", "-c", commands)

    wait_until(
        lambda: "pushing to shop" in stack.compose("logs", "--no-log-prefix", "forward"), "the forwarder to push"
    )
