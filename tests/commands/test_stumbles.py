"""Commands that are called a little wrong, or meet something unexpected, say so in plain words."""

import json
import os
import signal
import socket
import subprocess
import threading
from pathlib import Path

import pytest

from tests.support.commands import call_cli
from tests.support.forked import run_cli
from tests.support.postgresql import fresh_database
from tests.support.preset_keys import public_text
from tests.support.processes import BIN, ROOT, environment
from tests.support.server import Server
from tests.support.stored import stored_ids

PUBLIC_KEY = public_text("ed25519", "hex")
LONG_ID = "x" * 300
LINE = '{{"message_id":"{}","from":"+1","to":"+2","ts":"2025-01-15T10:00:00Z"}}\n'


def test_an_export_goes_to_standard_output_and_comes_from_standard_input(
    sqlite_url: str, empty_database_url: str
) -> None:
    call_cli("migrate", environ=environment(empty_database_url))
    run_cli("import", "-", given=(LINE.format("a") + LINE.format("b")).encode(), environ=environment(sqlite_url))

    exported = run_cli("export", "-", environ=environment(sqlite_url))
    imported = run_cli("import", "-", given=exported.stdout.encode(), environ=environment(empty_database_url))

    assert [json.loads(line)["message_id"] for line in exported.stdout.splitlines()] == ["a", "b"]
    assert (exported.stderr, imported.returncode) == ("", 0)
    assert stored_ids(empty_database_url) == ["a", "b"]


def test_only_the_owner_may_read_an_export(sqlite_url: str, tmp_path: Path) -> None:
    file = tmp_path / "messages.ndjson"

    call_cli("export", str(file), environ=environment(sqlite_url))

    assert file.stat().st_mode & 0o777 == 0o600


@pytest.mark.parametrize("command", ["export", "backup"])
def test_a_folder_that_is_not_there_is_named(command: str, sqlite_url: str) -> None:
    failed = call_cli(command, "/nonexistent/x", environ=environment(sqlite_url))

    assert failed.returncode == 1
    assert "/nonexistent/x" in failed.stderr
    assert "No such file or directory" in failed.stderr
    assert "Traceback" not in failed.stderr


@pytest.mark.parametrize("command", [["prune", "--older-than", "1d"], ["export", "-"], ["stats", "verify"]])
def test_a_command_names_the_database_that_is_missing_and_does_not_make_it(command: list[str], tmp_path: Path) -> None:
    failed = call_cli(*command, environ=environment("", DATA_DIR=str(tmp_path / "data")))

    assert failed.returncode == 1
    assert f"sqlite:///{tmp_path}/data/app.db: the database file is missing" in failed.stderr
    assert list(tmp_path.iterdir()) == []


def test_an_import_without_a_database_leaves_nothing_behind(tmp_path: Path) -> None:
    failed = run_cli(
        "import", "-", given=LINE.format("a").encode(), environ=environment(f"sqlite:///{tmp_path / 'none.db'}")
    )

    assert failed.returncode == 1
    assert "none.db: the database file is missing" in failed.stderr
    assert list(tmp_path.iterdir()) == []


def test_a_bad_line_of_an_import_is_kept_and_does_not_take_the_others_along(sqlite_url: str, tmp_path: Path) -> None:
    file, rejected = tmp_path / "in.ndjson", tmp_path / "in.ndjson.rejected"
    file.write_text(LINE.format("a") + "{\n" + LINE.format("b") + LINE.format(""))

    imported = call_cli("import", str(file), environ=environment(sqlite_url))

    assert (imported.returncode, imported.stdout) == (1, "2 stored, 0 were there already\n")
    assert "line 2: body: Not valid JSON" in imported.stderr
    assert "line 4: message_id: " in imported.stderr
    assert f"2 left out: they are in {rejected}" in imported.stderr
    assert rejected.read_text() == "{\n" + LINE.format("")
    assert rejected.stat().st_mode & 0o777 == 0o600
    assert stored_ids(sqlite_url) == ["a", "b"]


def test_what_only_one_database_has_room_for_is_left_out_of_the_other(database_url: str, tmp_path: Path) -> None:
    file = tmp_path / "in.ndjson"
    file.write_text(LINE.format("a") + LINE.format(LONG_ID) + LINE.format("b"))

    imported = call_cli("import", str(file), environ=environment(database_url))

    if database_url.startswith("sqlite"):
        assert stored_ids(database_url) == ["a", LONG_ID, "b"]
        assert imported.returncode == 0
    else:
        assert stored_ids(database_url) == ["a", "b"]
        assert "line 2: the database has no room" in imported.stderr
        assert file.with_name("in.ndjson.rejected").read_text() == LINE.format(LONG_ID)


def test_erasing_a_number_without_its_plus_suggests_the_plus(sqlite_url: str) -> None:
    erased = call_cli("erase", "--number", "4915112345678", environ=environment(sqlite_url))

    assert erased.returncode == 0
    assert "'4915112345678'" in erased.stderr
    assert "--number +4915112345678" in erased.stderr


def test_an_age_beyond_the_limit_names_the_limit(sqlite_url: str) -> None:
    refused = call_cli("prune", "--older-than", "1000000d", environ=environment(sqlite_url))

    assert refused.returncode == 2
    assert "99999d" in refused.stderr


@pytest.mark.parametrize("damage", [slice(16, None), slice(4096, 8 * 4096), slice(2 * 4096, None)])
def test_a_damaged_database_is_named_and_nothing_of_it_is_imported(
    damage: slice, database_url: str, tmp_path: Path
) -> None:
    file = tmp_path / "old.db"
    call_cli("migrate", environ=environment(f"sqlite:///{file}"))
    content = bytearray(file.read_bytes())
    content[damage] = b"\xff" * len(content[damage])
    file.write_bytes(content)

    refused = call_cli("import", str(file), environ=environment(database_url))

    assert refused.returncode == 1
    assert refused.stderr.startswith(f"Error: sqlite:///{file}: the database file is ")
    assert stored_ids(database_url) == []


@pytest.mark.parametrize("command", ["show", "drop", "replay"])
def test_a_number_that_is_no_id_of_the_quarantine_is_refused(command: str, sqlite_url: str) -> None:
    refused = call_cli("quarantine", command, "99999999999999999999", environ=environment(sqlite_url))

    assert refused.returncode == 2
    assert "Invalid value" in refused.stderr


@pytest.mark.parametrize("command", [["export", "-", "--from"], ["erase", "--number"], ["resend", "--id"]])
def test_an_argument_that_is_not_utf_8_is_named(command: list[str], sqlite_url: str) -> None:
    refused = run_cli(*command, "\udcff", environ=environment(sqlite_url))

    assert refused.returncode == 2
    assert f"Invalid value for '{command[-1]}': not UTF-8" in refused.stderr


def test_a_replay_that_changes_nothing_exits_with_1(server: Server) -> None:
    server.deliver(b"no json")
    entry = str(json.loads(server.get("/quarantine").data)["data"][-1]["id"])

    replayed = call_cli("quarantine", "replay", entry, environ=server.environ)

    assert replayed.returncode == 1
    assert replayed.stdout.startswith(f"{entry}: ")
    call_cli("quarantine", "drop", entry, environ=server.environ)


@pytest.mark.parametrize(
    ("url", "told"),
    [
        ("localhost", "http:// or https:// stands before the host"),
        ("localhost:8000", "http:// or https:// stands before the host"),
        ("ftp://localhost", "http:// or https:// stands before the host"),
        ("http://127.0.0.1:1", "no server listens there"),
        ("http://none.invalid", "no such host"),
    ],
)
def test_send_says_what_is_wrong_with_an_address(url: str, told: str, sqlite_url: str) -> None:
    failed = call_cli("send", "--url", url, environ=environment(sqlite_url))

    assert failed.returncode != 0
    assert told in failed.stdout + failed.stderr
    assert "Traceback" not in failed.stderr


@pytest.mark.parametrize(
    ("verify", "told"),
    [
        ('signed = "{field:x}{body}"', "nothing can be sent as shop: a sample lacks something that its provider signs"),
        (
            'signed = "{body}"\nscheme = "public_key"\nalgorithm = "ed25519"\nsecret_encoding = "hex"',
            "nothing can be sent as shop: its provider signs with a private key",
        ),
    ],
)
def test_send_says_why_a_source_has_no_samples(verify: str, told: str, sqlite_url: str, tmp_path: Path) -> None:
    file = tmp_path / "sources.toml"
    scheme = "" if "scheme" in verify else 'scheme = "hmac"\nalgorithm = "sha256"'
    file.write_text(
        f"""
[sources.shop]
provider = "custom"
secrets = [{{env = "KEY"}}]
payload = {{items = "body[]", message_id = "id", from = "a", to = "b"}}
[sources.shop.verify]
encoding = "hex"
signature = {{header = "X-S"}}
{scheme}
{verify}
"""
    )

    failed = call_cli(
        "send", "--source", "shop", environ=environment(sqlite_url, CONFIG_FILE=str(file), KEY=PUBLIC_KEY)
    )

    assert failed.returncode == 1
    assert told in failed.stderr


def test_send_stops_at_once_on_ctrl_c_and_says_how_many_were_answered(sqlite_url: str) -> None:
    accepted = threading.Event()
    with socket.create_server(("127.0.0.1", 0)) as silent:

        def accept_and_be_silent() -> None:
            silent.accept()[0].close()  # that is no answer either
            connection, _ = silent.accept()
            with connection:
                connection.recv(1)
                accepted.set()
                while connection.recv(2**20):
                    pass

        threading.Thread(target=accept_and_be_silent, daemon=True).start()
        url = f"http://127.0.0.1:{silent.getsockname()[1]}"
        command: list[str | Path] = [BIN / "webhook-service", "send", "--count", "9", "--url", url]
        with subprocess.Popen(command, stderr=subprocess.PIPE, cwd=ROOT, env=environment(sqlite_url)) as sending:
            assert accepted.wait(90)
            os.kill(sending.pid, signal.SIGINT)
            _, told = sending.communicate(timeout=25)  # less than an answer is waited for

    assert sending.returncode == 130
    assert b"Interrupted: 0 of 9 were answered." in told


def test_a_postgresql_in_another_encoding_is_refused(postgresql_server: str) -> None:
    with fresh_database(postgresql_server, encoding="LATIN1") as url:
        refused = call_cli("migrate", environ=environment(url))

    assert refused.returncode == 1
    assert "LATIN1" in refused.stderr
    assert "--encoding=UTF8" in refused.stderr
