"""The package as it is installed elsewhere: built, put into an empty environment, and run from an empty folder."""

import json
import subprocess
import sys
import sysconfig
import urllib.request
import venv
import zipfile
from pathlib import Path

import pytest

from tests.support.processes import BIN, ROOT, environment
from tests.support.server import Server
from tests.support.waiting import wait_until

Installed = tuple[Path, Path]
"""The console script, and the empty folder that it is run from."""


def run(*command: str | Path, cwd: Path, environ: dict[str, str] | None = None) -> subprocess.CompletedProcess[str]:
    return subprocess.run(command, cwd=cwd, env=environ, capture_output=True, text=True, timeout=60, check=False)


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The wheel, built from the source distribution, so that both are known to be whole."""
    folder = tmp_path_factory.mktemp("dist")
    built = run(sys.executable, "-m", "hatchling", "build", "-d", folder, cwd=ROOT)
    assert built.returncode == 0, built.stderr
    (direct,), (source,) = folder.glob("*.whl"), folder.glob("*.tar.gz")
    options = ("--no-deps", "--no-index", "--no-build-isolation", "--quiet", "--wheel-dir", folder / "again")
    again = run(BIN / "pip", "wheel", *options, source, cwd=folder)
    assert again.returncode == 0, again.stderr
    (wheel,) = (folder / "again").glob("*.whl")
    assert sorted(zipfile.ZipFile(wheel).namelist()) == sorted(zipfile.ZipFile(direct).namelist())
    return wheel


@pytest.fixture(scope="module")
def installed(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Installed:
    """An environment that holds the wheel, and finds nothing but its dependencies in the one of the tests."""
    folder = tmp_path_factory.mktemp("environment")
    venv.create(folder, symlinks=True)
    python = folder / "bin" / "python"
    (site_packages,) = folder.glob("lib/python*/site-packages")
    (site_packages / "dependencies.pth").write_text(sysconfig.get_path("purelib") + "\n")
    options = ("--no-deps", "--no-index", "--quiet", "--disable-pip-version-check", "--ignore-installed")
    put = run(BIN / "pip", "--python", python, "install", *options, wheel, cwd=folder)
    assert put.returncode == 0, put.stderr
    return folder / "bin" / "webhook-service", tmp_path_factory.mktemp("empty")


def test_an_installed_service_stores_a_message_and_gives_it_back(installed: Installed, tmp_path: Path) -> None:
    script, folder = installed
    (tmp_path / "settings").write_text("WEBHOOK_SECRET=from-the-file\nDATABASE_URL=\nWEB_CONCURRENCY=1\n")
    server = Server("")
    environ = {"PATH": "/usr/bin:/bin", "BIND": f"127.0.0.1:{server.port}"}
    where = ("--env-file", str(tmp_path / "settings"), "--data-dir", str(tmp_path / "data"))

    with subprocess.Popen([script, "serve", "--migrate", *where], cwd=folder, env=environ) as serving:
        wait_until(lambda: answers(f"{server.url}/health/ready"), "the installed service to answer")
        sent = run(script, "send", "--message-id", "m1", *where[:2], cwd=folder, environ=environ)  # needs no data
        with urllib.request.urlopen(f"{server.url}/messages/m1") as answer:
            message = json.load(answer)
        serving.terminate()

    assert (sent.returncode, sent.stdout) == (0, '200 {"status":"ok"}\n')
    assert message["from"] == "+4915112345678"
    assert (serving.returncode, list(folder.iterdir())) == (0, [])
    assert (tmp_path / "data" / "app.db").exists()


def answers(url: str) -> bool:
    try:
        with urllib.request.urlopen(url) as answer:
            return bool(answer.status == 200)
    except OSError:
        return False


def test_an_installed_service_does_not_guess_where_its_database_is(installed: Installed) -> None:
    script, folder = installed

    told = [
        run(script, "migrate", cwd=folder, environ={"PATH": "/usr/bin:/bin", **settings}).stderr
        for settings in ({}, {"DATABASE_URL": "sqlite:///here.db"}, {"DATA_DIR": "here"})
    ]

    assert ["not set" in told[0], "here.db is a relative path" in told[1], "DATA_DIR: here" in told[2]] == [True] * 3
    assert list(folder.iterdir()) == []


def test_the_command_says_its_version_and_helps(installed: Installed) -> None:
    script, folder = installed
    python = script.with_name("python")

    version = run(python, "-m", "webhook_service", "--version", cwd=folder)
    helped = run(script, "serve", "-h", cwd=folder)
    completion = run(script, cwd=folder, environ={"PATH": "/bin", "_WEBHOOK_SERVICE_COMPLETE": "zsh_source"})

    assert version.stdout == "webhook-service 0.1.0\n"
    assert "--migrate" in helped.stdout
    assert "compdef _webhook_service_completion webhook-service" in completion.stdout


def test_a_type_checker_finds_the_types_of_the_package(wheel: Path) -> None:
    assert "webhook_service/py.typed" in zipfile.ZipFile(wheel).namelist()


def test_the_nginx_site_comes_with_the_package(installed: Installed) -> None:
    script, folder = installed
    settings = environment("sqlite:////srv/app.db", BIND="unix:/run/webhook-service/socket", MAX_BODY_BYTES="2048")

    printed = run(script, "config", "nginx", "--server-name", "inbox.example.org", cwd=folder, environ=settings)

    assert printed.returncode == 0
    wanted = ["unix:/run/webhook-service/socket;", "client_max_body_size 2048;", "server_name inbox.example.org;"]
    assert [line for line in wanted if line not in printed.stdout] == []
    assert "${" not in printed.stdout
