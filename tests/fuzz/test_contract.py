"""Schemathesis against a real server: whatever the contract allows is answered as the contract says."""

import os
import subprocess
from pathlib import Path

import pytest

from tests.support.deliveries import SECRET
from tests.support.processes import BIN, ROOT
from tests.support.server import Server
from webhook_service.contract.operations import OPERATIONS

TOKEN = "the-token-of-the-tests"
PROVIDERS = {
    "STANDARD_WEBHOOKS_SECRET": "whsec_c3RhbmRhcmQtc2VjcmV0",
    "WHATSAPP_APP_SECRET": "app-secret",
    "WHATSAPP_VERIFY_TOKEN": "verify-token",
    "TWILIO_AUTH_TOKEN": "auth-token",
    "PUBLIC_URL": "https://inbox.example.com",
}
SHORT = ("--max-examples", "3", "--seed", "1")
# What a database has a part in; the rest is the same on both.
OF_THE_DATABASE = ("--phases", "examples,fuzzing,stateful")
PATIENCE = 300  # seconds beyond what a long run is given


@pytest.mark.timeout(0 if "FUZZ_SECONDS" in os.environ else 360)
def test_schemathesis_finds_nothing(database_url: str, tmp_path: Path) -> None:
    seconds = os.environ.get("FUZZ_SECONDS")
    in_short = SHORT if "sqlite" in database_url else (*SHORT, *OF_THE_DATABASE)
    extent = ("--max-time", seconds) if seconds else in_short
    with Server(database_url, API_TOKEN=TOKEN, **PROVIDERS) as server:
        assert server.deliver(b"not JSON").status == 422  # something to replay
        found = subprocess.run(
            [
                *(BIN / "st", "--config-file", ROOT / "tests/fuzz/schemathesis.toml", "run"),
                f"{server.url}/openapi.json",
                *("--header", f"Authorization: Bearer {TOKEN}", "--no-color", "--continue-on-failure", *extent),
            ],
            cwd=tmp_path,
            env={
                **{name: os.environ[name] for name in ("PATH", "HOME") if name in os.environ},
                **PROVIDERS,
                "WEBHOOK_SECRET": SECRET,
                "SCHEMATHESIS_HOOKS": "tests.fuzz.hooks",
                "PYTHONPATH": str(ROOT),
            },
            capture_output=True,
            text=True,
            check=False,
            timeout=PATIENCE + int(seconds or 0),
        )
        errors = [line for line in server.log_lines() if line["level"] in {"ERROR", "CRITICAL"}]

    assert found.returncode == 0, found.stdout + found.stderr
    assert f"Tested: {len(OPERATIONS) - 1}\n" in found.stdout  # all but the document that it reads
    assert errors == []
