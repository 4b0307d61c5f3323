"""Any file is read without an exception but the documented ones, and no problem shows a secret."""

import json
import re
import tomllib
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.support.processes import ROOT
from tests.support.sources import declare
from webhook_service.configuration.file import ConfigFile, FileInvalid
from webhook_service.configuration.line_numbers import find_lines, line_of

SECRET = "s3cr3t-that-nobody-may-see"
EXAMPLES = re.findall(r"```toml\n(.*?)```", (ROOT / "docs" / "sources.md").read_text(), re.DOTALL)
KEYS = st.sampled_from(
    [
        *("provider", "secrets", "options", "route", "by", "to", "env", "file", "label", "until", "verify", "payload"),
        *(
            "scheme",
            "algorithm",
            "encoding",
            "signature",
            "header",
            "signed",
            "timestamp",
            "message_id",
            "from",
            "token",
        ),
        *("handshake", "public_url", "verify_token", "x y", "é", SECRET[:8]),
    ]
)
TEXTS = st.sampled_from(
    [
        *("native", "whatsapp", "twilio", "custom", "github", "hmac", "sha256", "hex", "{body}", "X-Signature"),
        *("A", "NOT_SET", "a[", "id", "", SECRET, "\x1b[31m", "/nonexistent", "2026-01-31"),
    ]
)
VALUES = st.recursive(
    TEXTS | st.booleans() | st.integers(-3, 2**70) | st.floats(allow_nan=False, allow_infinity=False),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(KEYS, inner, max_size=4),
    max_leaves=12,
)
TABLES = st.dictionaries(KEYS, VALUES, max_size=6)


def inline(value: Any) -> str:
    """Writes a value as TOML does within a line."""
    if isinstance(value, dict):
        return "{" + ", ".join(f"{json.dumps(key)} = {inline(each)}" for key, each in value.items()) + "}"
    if isinstance(value, list):
        return "[" + ", ".join(map(inline, value)) + "]"
    return json.dumps(value)


def written(table: dict[str, Any]) -> str:
    return "[sources.x]\n" + "".join(f"{json.dumps(key)} = {inline(value)}\n" for key, value in table.items())


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=100, deadline=None)
@given(TABLES)
def test_any_table_of_a_source_is_taken_or_refused_with_lines(tmp_path: Path, table: dict[str, Any]) -> None:
    configuration, problems = declare(tmp_path, written(table), {"A": SECRET})

    assert bool(configuration.sources) or problems
    assert not [problem for problem in problems if not re.match(r"webhook-service\.toml, line \d+: ", problem)]
    assert SECRET not in "".join(problems)
    assert "\x1b" not in "".join(problems)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=100, deadline=None)
@given(st.text(alphabet="[]{}=\"'#.,\n\r\t ab1-\\\x00é", max_size=60))
def test_any_text_is_a_file_or_is_refused(tmp_path: Path, text: str) -> None:
    file = tmp_path / "any.toml"
    file.write_text(text, encoding="utf-8", newline="")
    try:
        read = ConfigFile.read(file, {})
    except FileInvalid:
        return
    lines = find_lines(read.text)
    assert all(line_of((key,), lines) for key in read.values)


@pytest.mark.parametrize(
    "example", re.findall(r"```toml\n(.*?)```", (ROOT / "docs" / "sources.md").read_text(), re.DOTALL)
)
def test_the_examples_of_the_documentation_are_right(tmp_path: Path, example: str) -> None:
    names = re.findall(r'env = "(\w+)"', example)
    (tmp_path / "verify_token").write_text("token")
    local = example.replace("/run/secrets/", "")

    configuration, problems = declare(tmp_path, local, dict.fromkeys(names, "secret"))

    assert problems == []
    assert configuration.sources.keys() == tomllib.loads(example)["sources"].keys()
