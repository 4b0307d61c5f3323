"""Consumers of a real server: the programs in the documentation, and a power cut."""

import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.support.deliveries import payload
from tests.support.processes import ROOT
from tests.support.server import Server
from tests.support.stored import opened
from tests.support.waiting import wait_until
from webhook_service.domain.consumers import ConsumerKind
from webhook_service.outlet.consumers import Consumers

DOCUMENT = (ROOT / "docs" / "consumers.md").read_text()


@pytest.mark.parametrize("language", ["python", "sh", "js"])
def test_the_consumer_in_the_documentation_takes_each_message_once(
    language: str, sqlite_url: str, tmp_path: Path
) -> None:
    (source,) = re.findall(rf"```{language}\n(import json.*?|url=.*?|const call.*?)```", DOCUMENT, re.DOTALL)
    program = {"python": [sys.executable, "-c"], "sh": ["sh", "-c"], "js": ["node", "--input-type=module", "-e"]}
    if shutil.which(program[language][0]) is None:
        pytest.skip(f"no {program[language][0]}")
    output = tmp_path / "output"
    with Server(sqlite_url, API_TOKEN="t0ken", WEB_CONCURRENCY="1") as server, output.open("wb") as stdout:
        server.request("PUT", "/consumers/crm", headers={"Authorization": "Bearer t0ken"})
        server.deliver(payload(message_id="first-x"))
        running = subprocess.Popen(
            [*program[language], source.replace("http://127.0.0.1:8000", server.url)],
            env={**os.environ, "API_TOKEN": "t0ken"},
            stdout=stdout,
        )
        try:
            wait_until(lambda: b"first-x" in output.read_bytes(), "the first message")
            server.deliver(payload(message_id="second-x"))
            wait_until(lambda: b"second-x" in output.read_bytes(), "the second message")
            with opened(sqlite_url) as database:
                consumers = Consumers(database, ConsumerKind.CONSUMER)
                wait_until(lambda: consumers.read("crm").lag.messages == 0, "the acknowledgement")
        finally:
            running.kill()
            running.wait()

    assert re.findall(r"\w+-x", output.read_text()) == ["first-x", "second-x"]


def test_what_was_acknowledged_before_a_power_cut_stays_so(database_url: str) -> None:
    sent = [f"m{number}" for number in range(60)]
    taken: list[str] = []
    server = Server(database_url)
    with server:
        server.request("PUT", "/consumers/crm", b'{"max_leases":3}')
        for message_id in sent:
            server.deliver(payload(message_id=message_id))
        for _ in range(3):
            given = server.post("/consumers/crm/lease?limit=7").json()
            server.post("/consumers/crm/lease?limit=7&seconds=1")  # what nobody acknowledges comes again soon
            assert server.post("/consumers/crm/ack", json.dumps({"lease": given["lease"]}).encode()).status == 204
            taken += [each["message_id"] for each in given["data"]]
            server.kill()
            server.start()
            server.wait_until_it_answers()
        while (answer := server.post("/consumers/crm/lease?limit=7&wait=2")).status == 200:
            server.post("/consumers/crm/ack", json.dumps({"lease": answer.json()["lease"]}).encode())
            taken += [each["message_id"] for each in answer.json()["data"]]

    assert sorted(taken) == sorted(sent)
