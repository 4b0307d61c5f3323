"""deploy/write-secrets.sh, which `make run` and `make up` call before they start anything."""

import re
import subprocess
from pathlib import Path

SCRIPT = Path(__file__).resolve().parents[2] / "deploy" / "write-secrets.sh"


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
