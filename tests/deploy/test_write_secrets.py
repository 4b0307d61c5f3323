"""The scripts that `make run` and `make up` call before they start anything: secrets, and the files for containers."""

import re
import subprocess
from pathlib import Path

import pytest
from sqlalchemy import make_url

DEPLOY = Path(__file__).resolve().parents[2] / "deploy"
SCRIPT = DEPLOY / "write-secrets.sh"
FILES_SCRIPT = DEPLOY / "write-secret-files.sh"


def write_secrets(file: Path, *names: str) -> None:
    subprocess.run([SCRIPT, file, *names], check=True)


def test_a_new_file_gets_random_secrets_that_only_its_owner_can_read(tmp_path: Path) -> None:
    file = tmp_path / ".env"

    write_secrets(file, "WEBHOOK_SECRET", "API_TOKEN")

    written = re.fullmatch("WEBHOOK_SECRET=([0-9a-f]{64})\nAPI_TOKEN=([0-9a-f]{64})\n", file.read_text())
    assert written
    assert written[1] != written[2]
    assert file.stat().st_mode & 0o777 == 0o600


def test_only_a_missing_or_empty_secret_is_written(tmp_path: Path) -> None:
    file = tmp_path / ".env"
    file.write_text("WEBHOOK_SECRET=kept\nAPI_TOKEN=")

    write_secrets(file, "WEBHOOK_SECRET", "API_TOKEN")

    assert re.fullmatch("WEBHOOK_SECRET=kept\nAPI_TOKEN=\nAPI_TOKEN=[0-9a-f]{64}\n", file.read_text())


def test_a_secret_that_is_read_from_a_file_is_not_written(tmp_path: Path) -> None:
    file = tmp_path / ".env"
    file.write_text("WEBHOOK_SECRET_FILE=/run/secrets/webhook\n")

    write_secrets(file, "WEBHOOK_SECRET")

    assert file.read_text() == "WEBHOOK_SECRET_FILE=/run/secrets/webhook\n"


def write_secret_files(file: Path, folder: Path) -> dict[str, str]:
    subprocess.run([FILES_SCRIPT, file, folder], check=True)
    return {path.name: path.read_text() for path in folder.iterdir()}


def test_containers_read_the_env_file_as_a_file_that_nobody_else_here_reaches(tmp_path: Path) -> None:
    file, folder = tmp_path / ".env", tmp_path / "secrets"
    file.write_text("WEBHOOK_SECRET=kept\n")

    written = write_secret_files(file, folder)

    assert written.keys() == {"settings", "written.env"}
    assert written["settings"] == "WEBHOOK_SECRET=kept\n"
    assert folder.stat().st_mode & 0o777 == 0o700
    assert {path.stat().st_mode & 0o777 for path in folder.iterdir()} == {0o444}


@pytest.mark.parametrize("quote", ["", "'", '"'])
def test_the_password_of_postgresql_is_written_apart_and_as_a_part_of_a_url(tmp_path: Path, quote: str) -> None:
    file, folder = tmp_path / ".env", tmp_path / "secrets"
    file.write_text(f"POSTGRES_PASSWORD={quote}a/b@c:d?e%f{quote}\nAPI_TOKEN=t\n")

    written = write_secret_files(file, folder)

    assert written["postgres_password"] == "a/b@c:d?e%f"
    assert make_url(written["database_url"]).password == "a/b@c:d?e%f"
    assert make_url(written["database_url"]).host == "postgres"


def test_containers_are_made_anew_when_a_setting_changed_and_only_then(tmp_path: Path) -> None:
    file, folder = tmp_path / ".env", tmp_path / "secrets"
    file.write_text("LOG_LEVEL=INFO\n")
    write_secret_files(file, folder)
    (folder / "written.env").chmod(0o600)
    (folder / "written.env").write_text("SECRETS_WRITTEN=long ago\n")

    same = write_secret_files(file, folder)
    file.write_text("LOG_LEVEL=DEBUG\n")
    other = write_secret_files(file, folder)

    assert same["written.env"] == "SECRETS_WRITTEN=long ago\n"
    assert other["written.env"] != same["written.env"]
