"""The service's programs as processes of their own, in an environment that does not depend on the machine."""

import os
import sys
from pathlib import Path

from tests.support.deliveries import SECRET

ROOT = Path(__file__).resolve().parents[2]
BIN = Path(sys.executable).parent

_SECRETS = (
    "WEBHOOK_SECRET",
    "STANDARD_WEBHOOKS_SECRET",
    "WHATSAPP_APP_SECRET",
    "TWILIO_AUTH_TOKEN",
    "API_TOKEN",
    "ADMIN_TOKEN",
)
_SINGLE_SECRETS = ("DATABASE_URL", "READ_DATABASE_URL", "WHATSAPP_VERIFY_TOKEN", "PUBLIC_URL")
_OTHERS = (
    *("BIND", "WEB_CONCURRENCY", "GUNICORN_THREADS", "LOG_LEVEL", "MAX_BODY_BYTES", "TRUSTED_PROXIES"),
    *("ENV_FILE", "CONFIG_FILE", "DATA_DIR", "GUNICORN_CMD_ARGS", "PROMETHEUS_MULTIPROC_DIR", "SCRIPT_NAME"),
    *("QUARANTINE_MAX_BYTES", "REQUIRE_SYNC_REPLICA"),
)


def environment(database_url: str, **settings: str) -> dict[str, str]:
    """Returns an environment with every setting: an empty value keeps a developer's ``.env`` from filling it in."""
    names = [
        *_OTHERS,
        *(name + file for name in _SINGLE_SECRETS for file in ("", "_FILE")),
        *(name + age + file for name in _SECRETS for age in ("", "_PREVIOUS") for file in ("", "_FILE")),
    ]
    return {
        **dict.fromkeys(names, ""),
        "PATH": os.environ["PATH"],
        "LANG": "C.UTF-8",
        "DATABASE_URL": database_url,
        "WEBHOOK_SECRET": SECRET,
        **settings,
    }


def is_running(pid: int) -> bool:
    """Tells whether a process is running; one that has ended and only waits to be reaped is not."""
    try:
        status = Path(f"/proc/{pid}/stat").read_text()
    except OSError:
        return False
    # proc_pid_stat(5): pid (comm) state …, and comm may hold anything.
    return status.rpartition(")")[2].split()[0] not in "ZX"


def children(parent: int) -> list[int]:
    """Returns the running children of a process that has one thread."""
    try:
        listed = Path(f"/proc/{parent}/task/{parent}/children").read_text()
    except OSError:
        return []
    return [pid for pid in map(int, listed.split()) if is_running(pid)]
