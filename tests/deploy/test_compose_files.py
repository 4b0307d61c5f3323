"""The files of Compose, as far as they can be judged without Docker."""

import os
import re
from pathlib import Path
from typing import Any

import pytest
import yaml  # type: ignore[import-untyped]  # its stubs would be one more dependency
from dotenv import dotenv_values

from tests.support.nginx import TEMPLATE
from tests.support.processes import ROOT
from webhook_service.settings import Settings

PLACEHOLDER = re.compile(r"\$\{([A-Z_]+)\}")
OF_THE_IMAGE = re.compile(r"^ENV (PATH=\S+ BIND=.*)$", re.MULTILINE)
FROM_ENV_FILE = re.compile(r"\$\{([A-Z_]+):-([^}]*)\}")
SQLITE, POSTGRESQL = ["docker-compose.yml"], ["docker-compose.yml", "deploy/compose.postgres.yml"]
HIGHLY_AVAILABLE = ["deploy/ha/compose.yml"]


def services(file: str) -> dict[str, Any]:
    """The services of a file, with their merge keys resolved."""
    read: dict[str, Any] = yaml.safe_load((ROOT / file).read_text())["services"]
    return read


@pytest.mark.parametrize("file", ["docker-compose.yml", "deploy/ha/compose.yml"])
def test_nginx_is_given_all_that_its_template_leaves_open_and_the_app_the_same(file: str) -> None:
    given, of_the_app = (services(file)[name]["environment"] for name in ("nginx", "app"))
    is_filled_in = re.compile(given["NGINX_ENVSUBST_FILTER"].replace("$$", "$"))
    filled_in = {name: value for name, value in given.items() if is_filled_in.search(name)}

    assert filled_in.keys() == set(PLACEHOLDER.findall(TEMPLATE.read_text()))
    assert filled_in.items() <= of_the_app.items()


@pytest.mark.parametrize(
    ("file", "command"),
    [
        ("docker-compose.yml", "docker compose exec app webhook-service"),
        ("deploy/ha/compose.yml", "docker compose -f deploy/ha/compose.yml exec app webhook-service"),
    ],
)
def test_the_app_knows_what_starts_a_command_in_its_container(file: str, command: str) -> None:
    assert services(file)["app"]["environment"]["COMMAND_FROM_OUTSIDE"] == command


def environment_of_the_app(files: list[str], env_file: Path) -> dict[str, str]:
    """The environment of a container of the app: what its image says, and over it what the files of Compose say."""
    (of_the_image,) = OF_THE_IMAGE.findall((ROOT / "Dockerfile").read_text())
    environment = dict(each.split("=", 1) for each in of_the_image.split())
    for file in files:
        environment |= services(file)["app"]["environment"]
    values = dotenv_values(env_file)
    return {
        name: FROM_ENV_FILE.sub(lambda found: values.get(found[1]) or found[2], str(value))
        for name, value in environment.items()
    }


def settings_of_the_app(files: list[str], env_file: Path, monkeypatch: pytest.MonkeyPatch) -> Settings:
    """Returns the settings of the app in a container, where the env file and the secrets are mounted."""
    environment = environment_of_the_app(files, env_file)
    environment["ENV_FILE"] = str(env_file)
    if environment.get("DATABASE_URL_FILE"):
        environment["DATABASE_URL_FILE"] = str(env_file.with_name("database_url"))
    monkeypatch.setattr(os, "environ", environment)
    return Settings.from_env()


@pytest.mark.parametrize(
    ("files", "env_file", "url"),
    [
        (SQLITE, "", "sqlite:////data/app.db"),
        (SQLITE, "DATABASE_URL=postgresql://u:password@elsewhere/inbox", "postgresql+psycopg://u:***@elsewhere/inbox"),
        (SQLITE, "DATABASE_URL_FILE={folder}/database_url", "postgresql+psycopg://u:***@postgres/inbox"),
        (POSTGRESQL, "", "postgresql+psycopg://u:***@postgres/inbox"),
        (POSTGRESQL, "DATABASE_URL=sqlite:///data/app.db", "postgresql+psycopg://u:***@postgres/inbox"),
    ],
)
def test_the_app_takes_the_database_that_the_env_file_names_by_a_url_or_a_file(
    files: list[str], env_file: str, url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "database_url").write_text("postgresql://u:password@postgres/inbox")
    settings = tmp_path / "settings"
    settings.write_text(env_file.format(folder=tmp_path))

    assert settings_of_the_app(files, settings, monkeypatch).database_url.render_as_string() == url


@pytest.mark.parametrize("files", [SQLITE, POSTGRESQL, HIGHLY_AVAILABLE])
def test_no_secret_of_the_env_file_gets_into_the_environment_of_the_app(files: list[str], tmp_path: Path) -> None:
    env_file = tmp_path / ".env"
    env_file.write_text("DATABASE_URL=postgresql://u:hidden@elsewhere/inbox\nWEBHOOK_SECRET=hidden\nAPI_TOKEN=hidden\n")

    assert "hidden" not in " ".join(environment_of_the_app(files, env_file).values())
