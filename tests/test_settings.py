"""What can be set, and how all that is wrong with it is told at once."""

from pathlib import Path

import pytest

from tests.support.processes import ROOT
from webhook_service.configuration.database_url import parse_url
from webhook_service.domain.secrets import Secrets
from webhook_service.settings import Settings, SettingsInvalid

SECRET = "s3cr3t-value"


def problems(**environ: str) -> list[str]:
    with pytest.raises(SettingsInvalid) as invalid:
        Settings.from_env(environ)
    return [problem.partition(":")[0] for problem in invalid.value.problems]


def complaint(**environ: str) -> str:
    with pytest.raises(SettingsInvalid) as invalid:
        Settings.from_env(environ)
    return str(invalid.value)


def test_nothing_needs_to_be_set() -> None:
    settings = Settings.from_env({})

    assert settings.database_url.render_as_string() == f"sqlite:///{ROOT}/data/app.db"
    assert (settings.bind, settings.log_level, settings.trusted_proxies) == ("127.0.0.1:8000", "INFO", 0)
    assert settings.provider_secrets == {}
    assert settings.api_token is None
    assert settings.workers >= 1


def test_an_empty_value_means_not_set() -> None:
    empty = dict.fromkeys(["DATABASE_URL", "WEBHOOK_SECRET", "API_TOKEN", "BIND", "WEB_CONCURRENCY", "LOG_LEVEL"], " ")

    assert Settings.from_env(empty) == Settings.from_env({})


def test_what_is_set_is_read() -> None:
    settings = Settings.from_env(
        {
            "DATABASE_URL": "sqlite:////srv/inbox.db",
            "WEBHOOK_SECRET": SECRET,
            "WEBHOOK_SECRET_PREVIOUS": "older",
            "API_TOKEN": "token",
            "LOG_LEVEL": "debug",
            "MAX_BODY_BYTES": "1024",
            "TRUSTED_PROXIES": "1",
            "BIND": "0.0.0.0:80",
            "WEB_CONCURRENCY": "3",
            "GUNICORN_THREADS": "4",
        }
    )

    assert settings.database_url.database == "/srv/inbox.db"
    assert settings.provider_secrets == {"native": Secrets(SECRET, "older")}
    assert settings.api_token == Secrets("token")
    assert (settings.log_level, settings.max_body_bytes, settings.trusted_proxies) == ("DEBUG", 1024, 1)
    assert (settings.bind, settings.workers, settings.threads) == ("0.0.0.0:80", 3, 4)


@pytest.mark.parametrize(
    ("url", "driver"),
    [
        ("sqlite:///a.db", "sqlite"),
        ("sqlite+aiosqlite:///a.db", "sqlite"),
        ("postgres://u:p@h/d", "postgresql+psycopg"),
        ("postgresql://u:p@h/d", "postgresql+psycopg"),
        ("postgresql+psycopg://u:p@h/d", "postgresql+psycopg"),
    ],
)
def test_a_database_url_is_taken_in_every_common_spelling(url: str, driver: str) -> None:
    assert Settings.from_env({"DATABASE_URL": url}).database_url.drivername == driver


@pytest.mark.parametrize(
    ("url", "hosts", "ports"),
    [
        ("postgresql://u:p%2C@h1:5432,h2:5433/d", "h1,h2", "5432,5433"),
        ("postgres://h1,h2:5433,h3/d", "h1,h2,h3", ",5433,"),
        ("postgresql+psycopg://u@[::1]:5432,[fe80::1%25eth0]/d", "::1,fe80::1%25eth0", "5432,"),
        ("postgresql://u@/d?host=h1,h2", "h1,h2", None),
        ("postgresql://u@/d?host=h1,h2&port=5433", "h1,h2", "5433,5433"),
    ],
)
def test_a_database_url_may_name_several_hosts_as_libpq_has_them(url: str, hosts: str, ports: str | None) -> None:
    parsed = Settings.from_env({"DATABASE_URL": url}).database_url

    assert (parsed.query["host"], parsed.query.get("port"), parsed.database) == (hosts, ports, "d")
    assert parsed.query["target_session_attrs"] == "read-write"
    assert parsed.password in {None, "p,"}


def test_which_of_several_hosts_may_be_said() -> None:
    url = "postgresql://h1,h2/d?target_session_attrs=primary"

    assert Settings.from_env({"DATABASE_URL": url}).database_url.query["target_session_attrs"] == "primary"


def test_a_synchronous_replica_can_only_be_required_of_postgresql() -> None:
    required = Settings.from_env({"DATABASE_URL": "postgresql://h/d", "REQUIRE_SYNC_REPLICA": "True"})

    assert required.require_sync_replica
    assert problems(REQUIRE_SYNC_REPLICA="true") == ["REQUIRE_SYNC_REPLICA"]
    assert problems(DATABASE_URL="postgresql://h/d", REQUIRE_SYNC_REPLICA="maybe") == ["REQUIRE_SYNC_REPLICA"]


@pytest.mark.parametrize(
    "url",
    [
        *(
            "nonsense",
            "postgresql://h1,h2:x/d",
            "postgresql://h1:1:2,h2/d",
            "mysql://u:p@h/d",
            "postgresql://u:p@h:port/d",
            "postgresql:///d?host=h1,h2&port=x",
            "postgresql:///d?host=h1,h2&port=1,2,3",
            "sqlite",
            "://",
        ),
        *("sqlite://", "sqlite:///:memory:", "sqlite+aiosqlite:///:memory:"),
    ],
)
def test_a_database_that_workers_cannot_share_is_refused(url: str) -> None:
    assert problems(DATABASE_URL=url) == ["DATABASE_URL"]


@pytest.mark.parametrize(
    ("name", "value"),
    [
        *(
            ("WEB_CONCURRENCY", value)
            for value in ("0", "257", "-1", "a", "1.5", "²", "٣", "9" * 5000, "0" * 11 + "19999")
        ),
        *(("GUNICORN_THREADS", value) for value in ("0", "257")),
        *(("MAX_BODY_BYTES", value) for value in ("1023", "1k", str(2**30 + 1))),
        *(("TRUSTED_PROXIES", value) for value in ("-1", "17", "all")),
        *(("QUARANTINE_MAX_BYTES", value) for value in ("0", "1048575", "1GiB")),
        *(("LOG_LEVEL", value) for value in ("LOUD", "10")),
    ],
)
def test_a_value_out_of_range_is_a_problem(name: str, value: str) -> None:
    assert problems(**{name: value}) == [name]


def test_all_problems_are_told_at_once() -> None:
    told = problems(
        DATABASE_URL="nonsense", LOG_LEVEL="LOUD", WEB_CONCURRENCY="0", TRUSTED_PROXIES="x", API_TOKEN_PREVIOUS="old"
    )

    assert sorted(told) == ["API_TOKEN_PREVIOUS", "DATABASE_URL", "LOG_LEVEL", "TRUSTED_PROXIES", "WEB_CONCURRENCY"]


@pytest.mark.parametrize(
    "url",
    [
        f"postgresql://user:pass@{SECRET}:word@host/db",
        f"postgresql://user:12@34:{SECRET}@host/db",
        f"mysql://user:{SECRET}@host/db",
        f"{SECRET}",
    ],
)
def test_a_problem_never_shows_the_value(url: str) -> None:
    assert SECRET not in complaint(DATABASE_URL=url, WEBHOOK_SECRET_PREVIOUS=SECRET)


def test_a_secret_may_be_the_content_of_a_file(tmp_path: Path) -> None:
    file = tmp_path / "secret"
    file.write_text(f"{SECRET}\n")

    settings = Settings.from_env({"WEBHOOK_SECRET_FILE": str(file)})

    assert settings.provider_secrets["native"] == Secrets(SECRET)


def test_a_database_url_may_be_the_content_of_a_file(tmp_path: Path) -> None:
    file = tmp_path / "url"
    file.write_text("postgresql://u:p@h/d")

    assert Settings.from_env({"DATABASE_URL_FILE": str(file)}).database_url.host == "h"


def test_a_secret_has_one_source(tmp_path: Path) -> None:
    file = tmp_path / "secret"
    file.write_text(SECRET)

    assert problems(WEBHOOK_SECRET=SECRET, WEBHOOK_SECRET_FILE=str(file)) == ["WEBHOOK_SECRET"]


@pytest.mark.parametrize("content", [None, b"", b" \n", b"\xff\xfe"])
def test_a_file_without_a_secret_is_a_problem(content: bytes | None, tmp_path: Path) -> None:
    file = tmp_path / "secret"
    if content is not None:
        file.write_bytes(content)

    assert problems(WEBHOOK_SECRET_FILE=str(file)) == ["WEBHOOK_SECRET_FILE"]


def test_a_folder_is_no_secret(tmp_path: Path) -> None:
    assert problems(API_TOKEN_FILE=str(tmp_path)) == ["API_TOKEN_FILE"]


def test_reads_have_no_database_of_their_own_unless_it_is_set() -> None:
    assert Settings.from_env({"READ_DATABASE_URL": " "}).read_database_url is None


@pytest.mark.parametrize("scheme", ["postgres", "postgresql", "postgresql+psycopg", "postgresql+asyncpg"])
def test_a_read_database_url_is_taken_in_every_common_spelling(scheme: str, tmp_path: Path) -> None:
    url, file = f"{scheme}://u:p@replica/d", tmp_path / "url"
    file.write_text(url)

    by_itself = Settings.from_env({"DATABASE_URL": "postgresql://h/d", "READ_DATABASE_URL": url})
    by_file = Settings.from_env({"DATABASE_URL": "postgresql://h/d", "READ_DATABASE_URL_FILE": str(file)})

    assert by_itself.read_database_url == by_file.read_database_url == parse_url("postgresql://u:p@replica/d")


@pytest.mark.parametrize(
    ("url", "read_url", "told"),
    [
        ("postgresql://h/d", "sqlite:///a.db", "only postgresql:// is supported, as SQLite has no replica"),
        ("sqlite:///a.db", "sqlite:///a.db", "only postgresql:// is supported, as SQLite has no replica"),
        ("sqlite:///a.db", "postgresql://h/d", "needs a DATABASE_URL that is postgresql:// too"),
        ("", "postgresql://h/d", "needs a DATABASE_URL that is postgresql:// too"),
        ("postgresql://h/d", f"mysql://u:{SECRET}@h/d", "only sqlite:// and postgresql:// are supported"),
        ("postgresql://h/d", f"{SECRET}", "not a database URL"),
    ],
)
def test_a_replica_is_refused_that_the_database_cannot_have(url: str, read_url: str, told: str) -> None:
    complained = complaint(DATABASE_URL=url, READ_DATABASE_URL=read_url, LOG_LEVEL="LOUD")

    assert f"READ_DATABASE_URL: {told}\n" in complained
    assert "LOG_LEVEL" in complained
    assert SECRET not in complained


@pytest.mark.parametrize("name", ["WEBHOOK_SECRET", "API_TOKEN"])
def test_a_previous_secret_alone_is_a_problem(name: str) -> None:
    assert problems(**{f"{name}_PREVIOUS": SECRET}) == [f"{name}_PREVIOUS"]


def test_the_settings_in_effect_are_shown_without_secrets() -> None:
    settings = Settings.from_env(
        {
            "DATABASE_URL": f"postgresql://user:{SECRET}@host/db",
            "READ_DATABASE_URL": f"postgresql://user@replica/db?password={SECRET}",
            "WEBHOOK_SECRET": SECRET,
            "WEBHOOK_SECRET_PREVIOUS": SECRET,
            "API_TOKEN": SECRET,
        }
    )

    assert SECRET not in f"{settings.masked()} {settings!r} {settings}"
    assert "replica/db" in str(settings.masked()["read_database_url"])
    assert settings.read_database_url is not None
    assert settings.read_database_url.password == SECRET
    assert settings.masked()["providers"] == ["native"]
    assert settings.masked()["api_token"] == "set"


def test_a_password_for_a_key_is_not_shown_either() -> None:
    settings = Settings.from_env({"DATABASE_URL": f"postgresql://host/db?sslpassword={SECRET}"})

    assert SECRET not in str(settings.masked())


@pytest.mark.parametrize(
    ("environ", "path"),
    [
        ({"DATABASE_URL": "sqlite:///here.db"}, ROOT / "here.db"),
        ({"DATABASE_URL": "sqlite:////srv/here.db", "DATA_DIR": "/elsewhere"}, Path("/srv/here.db")),
        ({"DATABASE_URL": "sqlite:///here.db", "DATA_DIR": "/srv"}, Path("/srv/here.db")),
        ({"DATA_DIR": "/srv"}, Path("/srv/app.db")),
        ({"DATA_DIR": "data2"}, ROOT / "data2" / "app.db"),
    ],
)
def test_a_database_is_where_its_url_or_folder_says_and_not_in_the_current_folder(
    environ: dict[str, str], path: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)

    assert Settings.from_env(environ).database_url.database == str(path)


def test_settings_may_stand_in_a_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = tmp_path / "settings"
    file.write_text("LOG_LEVEL=DEBUG\nMAX_BODY_BYTES=2048\nDATABASE_URL=sqlite:////srv/a.db\n")
    monkeypatch.setenv("ENV_FILE", str(file))
    monkeypatch.setenv("LOG_LEVEL", "ERROR")

    settings = Settings.from_env()

    assert (settings.log_level, settings.max_body_bytes) == ("ERROR", 2048)


def test_a_file_of_settings_that_is_missing_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ENV_FILE", str(tmp_path / "none"))

    with pytest.raises(SettingsInvalid, match=f"{tmp_path / 'none'}: can't be read"):
        Settings.from_env()


@pytest.mark.parametrize(
    "bind", ["127.0.0.1:8000", ":80", "[::1]:8000", "[fe80::1%eth0]:1", "a-b.example:65535", "unix:/run/s", "fd://3"]
)
def test_an_address_is_taken_in_each_of_its_forms(bind: str) -> None:
    assert Settings.from_env({"BIND": bind}).bind == bind


@pytest.mark.parametrize("bind", ["8000", "a", "a:", "a:0", "a:65536", "::1:80", "http://a:80", "fd:3", "unix:", "a:٣"])
def test_what_is_no_address_is_a_problem(bind: str) -> None:
    assert problems(BIND=bind) == ["BIND"]
