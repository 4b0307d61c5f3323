"""Reading the file of configuration: all problems at once, with their lines, and never a value."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from webhook_service.configuration.file import ConfigFile, FileInvalid
from webhook_service.configuration.tables import Table

SECRET = "the-secret-itself"


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "webhook-service.toml"


def read(path: Path, text: str, environ: Mapping[str, str] | None = None) -> ConfigFile:
    path.write_text(text, encoding="utf-8")
    return ConfigFile.read(path, environ or {})


def load_thing(_name: str, table: Table) -> dict[str, Any] | None:
    """A section of the tests' own."""
    thing: dict[str, Any] = {
        "url": table.take_text("url", required=True),
        "kind": table.take_choice("kind", ["strict", "lenient"]),
        "secret": table.take_secret("secret"),
        "tries": table.take("tries", int),
        "until": table.take_moment("until"),
    }
    table.finish()
    return thing if thing["url"] else None


def problems(path: Path, text: str, environ: Mapping[str, str] | None = None) -> list[str]:
    file = read(path, text, environ)
    file.load("things", load_thing)
    return file.finish("things")


def test_a_section_gives_its_tables_by_name(path: Path) -> None:
    (path.parent / "secrets").mkdir()
    (path.parent / "secrets" / "b").write_text("from-a-file\n")
    file = read(
        path,
        """
[things.a]
url = "https://a.example"
secret = {env = "A_SECRET"}
until = 2026-01-31

[things.b]
url = "https://b.example"
secret = {file = "secrets/b"}
tries = 3
""",
        {"A_SECRET": SECRET},
    )

    things = file.load("things", load_thing)

    assert file.finish("things") == []
    assert things["a"]["secret"] == SECRET
    assert things["a"]["until"].isoformat() == "2026-01-31T00:00:00+00:00"
    assert (things["b"]["secret"], things["b"]["tries"]) == ("from-a-file", 3)


def test_all_problems_come_at_once_in_the_order_of_their_lines(path: Path) -> None:
    found = problems(
        path,
        """[things.a]
urll = "https://a.example"
kind = "strikt"
secret = "the-secret-itself"
tries = true

[things.b]
url = ""
secret = {env = "NOT_SET"}
until = 2026-01-31T12:00:00

[things.c]
url = 3
secret = {env = "A", file = "b", also = 1}
[thing]
""",
    )

    assert found == [
        "webhook-service.toml, line 1: things.a.url: missing",
        "webhook-service.toml, line 2: things.a.urll: unknown key; did you mean url?",
        "webhook-service.toml, line 3: things.a.kind: unknown; did you mean strict?",
        'webhook-service.toml, line 4: things.a.secret: must be {env = "NAME"} or {file = "path"}',
        "webhook-service.toml, line 5: things.a.tries: must be a whole number",
        "webhook-service.toml, line 8: things.b.url: must not be empty",
        "webhook-service.toml, line 9: things.b.secret.env: this variable is not set",
        "webhook-service.toml, line 10: things.b.until: must be a date, or a date and time with an offset such as"
        " 2026-01-31T12:00:00Z",
        "webhook-service.toml, line 13: things.c.url: must be a text",
        'webhook-service.toml, line 14: things.c.secret: must be {env = "NAME"} or {file = "path"}',
        "webhook-service.toml, line 14: things.c.secret.also: unknown key; known are env, file",
        "webhook-service.toml, line 15: thing: unknown key; did you mean things?",
    ]


@pytest.mark.parametrize("content", [None, "", b"\xff"])
def test_a_secrets_file_that_can_not_be_read_or_is_empty_is_a_problem(path: Path, content: str | bytes | None) -> None:
    if content is not None:
        (path.parent / "secret").write_bytes(content if isinstance(content, bytes) else content.encode())

    (problem,) = problems(path, '[things.a]\nurl = "x"\nsecret = {file = "secret"}')

    assert problem.startswith("webhook-service.toml, line 3: things.a.secret.file: ")


@pytest.mark.parametrize(
    "text",
    [
        f'[things.a]\nsecret = "{SECRET}"',
        f'[things.a]\nsecret = {{env = "{SECRET}"}}',
        f'[things.a]\nsecret = {{file = "{SECRET}"}}',
        f'[things.a]\nsecret = ["{SECRET}"]',
        f'[things.a]\nkind = "{SECRET}"',
        f'[things]\na = "{SECRET}"',
        f'things = "{SECRET}"',
    ],
)
def test_no_problem_quotes_a_value(path: Path, text: str) -> None:
    assert problems(path, text)
    assert SECRET not in "\n".join(problems(path, text))


@pytest.mark.parametrize(
    ("text", "line"),
    [
        (f"[things.a]\nsecret = {SECRET}", 2),
        (f'[things.a]\nsecret = "{SECRET}', 2),
        ("[things.a]\n[things.b]\n[things.a]", 3),
        (f'[things.a]\nx = {{a = "{SECRET}", a = 1}}', 2),
    ],
)
def test_what_is_no_toml_is_named_by_its_line(path: Path, text: str, line: int) -> None:
    with pytest.raises(FileInvalid) as invalid:
        read(path, text)

    assert invalid.value.problem.startswith(f"webhook-service.toml, line {line}: not TOML: ")
    assert SECRET not in invalid.value.problem


@pytest.mark.parametrize("moment", ["0001-01-01T00:00:00+02:00", "9999-12-31T23:59:59-02:00"])
def test_a_moment_that_utc_has_no_year_for_is_named(path: Path, moment: str) -> None:
    assert problems(path, f'[things.a]\nurl = "x"\nuntil = {moment}') == [
        "webhook-service.toml, line 3: things.a.until: must be within the years 1 to 9999 of UTC"
    ]


def test_a_number_that_python_does_not_read_makes_no_traceback(path: Path) -> None:
    with pytest.raises(FileInvalid, match=r"webhook-service.toml: has a number with too many digits"):
        read(path, f"[things.a]\ntries = {'9' * 4301}")


def test_a_file_that_can_not_be_read_says_so(path: Path) -> None:
    with pytest.raises(FileInvalid, match=r"webhook-service.toml: can't be read \(FileNotFoundError\)"):
        ConfigFile.read(path, {})


def test_a_key_is_shown_without_what_a_terminal_obeys(path: Path) -> None:
    (problem,) = problems(path, '"\\u001b[31mred" = 1')

    assert problem == "webhook-service.toml, line 1: ??31mred: unknown key; known are things"
