"""``webhook-service listen``: the line from a remote inbox to this machine."""

import json
import os
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO

import pytest
from standardwebhooks import Webhook

from tests.support.commands import call_cli
from tests.support.deliveries import payload
from tests.support.forked import Process, run_cli, spawn
from tests.support.receivers import Receiver, answer, closed_port
from tests.support.server import Server
from tests.support.waiting import wait_until

SECRET = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
INTERRUPTED_IN_A_FINALIZER = """
import os, signal, time
from webhook_service.cli import main
from webhook_service.commands.remote import RemoteInbox

class Response:
    def __del__(self):
        os.kill(os.getpid(), signal.SIGINT)
        time.sleep(0.01)

def follow(*_):
    Response()
    time.sleep(60)
    return []

RemoteInbox.follow = follow
main()
"""
ENVIRON = {"PATH": os.environ["PATH"], "LANG": "C.UTF-8"}


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    with Receiver() as receiver:
        yield receiver


class Listening:
    """A running ``listen``, and what it has said."""

    def __init__(self, process: Process, said: IO[bytes], told: IO[bytes]) -> None:
        self.process = process
        self._said, self._told = said, told
        self._final: tuple[str, str] | None = None

    def finish(self) -> None:
        """Ends it at once, and keeps what it has said."""
        self.process.kill()
        self.process.wait()
        self._final = self.said, self.told

    @property
    def said(self) -> str:
        """Its standard output."""
        return self._final[0] if self._final else Path(self._said.name).read_text()

    @property
    def told(self) -> str:
        """Its standard error."""
        return self._final[1] if self._final else Path(self._told.name).read_text()

    def stop(self) -> int:
        """Presses Ctrl-C, and returns its exit status."""
        self.process.send_signal(signal.SIGINT)
        return self.process.wait(30)


@contextmanager
def listening(*arguments: str) -> Iterator[Listening]:
    with tempfile.NamedTemporaryFile() as said, tempfile.NamedTemporaryFile() as told:
        line = Listening(spawn(("webhook-service", "listen", *arguments), ENVIRON, said, told), said, told)
        try:
            yield line
        finally:
            line.finish()


def consumer_names(server: Server) -> list[str]:
    """Returns the names of the consumers; the lag of those that other tests left behind changes all the time."""
    return [consumer["name"] for consumer in server.get("/consumers").json()["data"]]


def test_each_message_is_pushed_as_a_destination_would_and_told_with_a_line(server: Server, receiver: Receiver) -> None:
    consumers = consumer_names(server)
    with listening("--server", server.url, "--to", receiver.url, "--secret", SECRET) as line:
        first = payload()

        def one_came() -> bool:
            # It begins now, and nothing tells when that is: send until something comes.
            server.deliver(payload())
            return bool(receiver.received)

        wait_until(one_came, "a message")
        server.deliver(first)
        wait_until(lambda: first["message_id"] in receiver.ids(), "the message")
        wait_until(lambda: f"{first['message_id']}\n" in line.said, "its line")
        assert line.stop() == 130

    received = next(each for each in receiver.received if each.headers["webhook-id"] == first["message_id"])
    message = Webhook(SECRET).verify(received.body, received.headers)
    assert message["text"] == first["text"]
    assert received.body == json.dumps(message, ensure_ascii=False, separators=(",", ":")).encode() + b"\n"
    assert "200" in line.said
    assert consumer_names(server) == consumers


def test_one_message_can_be_pushed_again(server: Server, receiver: Receiver) -> None:
    place = server.get("/feed?since=now").json()["next"]
    sent = payload()
    server.deliver(sent)
    arguments = ("listen", "--server", server.url, "--to", receiver.url, "--replay")
    ended = run_cli(*arguments, sent["message_id"], environ=ENVIRON)
    receiver.answer = answer(500)
    refused = run_cli(*arguments, sent["message_id"], environ=ENVIRON)
    missing = run_cli(*arguments, "no/such?", environ=ENVIRON)

    assert (ended.returncode, refused.returncode, missing.returncode) == (0, 1, 1)
    assert receiver.ids() == [sent["message_id"]] * 2
    (of_feed,) = server.get(f"/feed?after={place}").json()["data"]
    assert json.loads(receiver.received[-1].body) == of_feed
    assert "Signing with whsec_" in ended.stderr
    assert "there is no message with this ID" in missing.stderr
    assert refused.stdout.startswith("500 ")


def test_messages_since_a_time_are_printed_for_a_pipe(server: Server) -> None:
    sent = payload()
    server.deliver(sent)
    with listening("--server", server.url, "--print", "--since", "2020-01-01T00:00:00Z") as line:
        wait_until(lambda: sent["message_id"] in line.said, "the message")
        wait_until(lambda: line.said.endswith("\n"), "the end of its line")
        assert line.stop() == 130

    messages = [json.loads(each) for each in line.said.splitlines()]
    assert messages[-1]["message_id"] == sent["message_id"]
    assert "receipts" not in messages[-1]


def test_a_server_that_is_away_or_refuses_is_asked_again(receiver: Receiver) -> None:
    message = {"message_id": "m1", "text": "\x1b[2J"}
    page = json.dumps({"data": [message], "next": "x"}).encode()
    answers = iter([answer(401), answer(404), answer(200, b"[]"), answer(200, page)])
    with Receiver() as inbox, listening("--server", inbox.url.removesuffix("/hook"), "--print") as line:
        inbox.answer = lambda received, connection: next(answers, answer(200, page))(received, connection)
        wait_until(lambda: "m1" in line.said, "the message")

    assert "answers 401 (the token is missing or wrong): again in 1 s" in line.told
    assert "has no feed: again in 2 s" in line.told
    assert [each.line.split()[1].partition("?")[0] for each in inbox.received] == ["/feed"] * len(inbox.received)


def test_a_server_that_is_not_there_is_waited_for() -> None:
    with closed_port() as port, listening("--server", f"http://127.0.0.1:{port}", "--print") as line:
        wait_until(lambda: "again in 2 s" in line.told, "two attempts")
        assert line.stop() == 130

    assert "Traceback" not in line.told


def test_an_interrupt_while_a_response_is_finalized_is_not_lost() -> None:
    arguments = ("listen", "--server", "http://127.0.0.1:9", "--print")
    ended = subprocess.run([sys.executable, "-c", INTERRUPTED_IN_A_FINALIZER, *arguments], env=ENVIRON, timeout=30)

    assert ended.returncode == 130


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ((), "say where to push with --to, or --print"),
        (("--print", "--since", "yesterday"), "not an ISO 8601 timestamp with a time zone"),
        (("--to", "localhost:3000"), "whole URL"),
        (("--print", "--secret", "!"), "not base64"),
    ],
)
def test_what_makes_no_sense_is_said(arguments: tuple[str, ...], said: str) -> None:
    ended = call_cli("listen", "--server", "http://127.0.0.1:9", *arguments, environ=ENVIRON)

    assert ended.returncode == 2
    assert said in ended.stderr
