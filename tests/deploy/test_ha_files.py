"""The files for a node of PostgreSQL under Patroni: what tests/ha runs is what they say."""

import re
import shutil
import subprocess
from pathlib import Path

import pytest
import yaml  # type: ignore[import-untyped]  # its stubs would be one more dependency
from sqlalchemy import make_url

from tests.support.processes import ROOT

HA = ROOT / "deploy" / "ha"
PASSWORDS = (
    "POSTGRES_PASSWORD",
    "SUPERUSER_PASSWORD",
    "REPLICATION_PASSWORD",
    "REWIND_PASSWORD",
    "RESTAPI_PASSWORD",
)


def names_in(file: Path) -> set[str]:
    """The names that a file of settings sets."""
    return set(re.findall(r"^([A-Z0-9_]+)=", file.read_text(), re.MULTILINE))


def test_the_example_of_a_node_sets_what_the_tests_of_failover_set() -> None:
    tested = set(re.findall(r'"((?:PATRONI|WEBHOOK_SERVICE)_[A-Z0-9_]+)":', (ROOT / "tests/ha/cluster.py").read_text()))

    assert tested - {"PATRONI_POSTGRESQL_PGPASS"} == names_in(HA / "node.env.example")


def test_the_containers_set_the_same(tmp_path: Path) -> None:
    compose = (HA / "compose.yml").read_text()
    containers = set(re.findall(r"^\s+((?:PATRONI|WEBHOOK_SERVICE)_[A-Z0-9_]+):", compose, re.MULTILINE))
    containers -= {"PATRONI_POSTGRESQL_PGPASS"}
    authentication = yaml.safe_load(secret_files(tmp_path)["patroni_passwords.yml"])
    accounts = authentication["postgresql"]["authentication"] | {"restapi": authentication["restapi"]["authentication"]}
    by_file = {f"PATRONI_{account}_{key}".upper() for account, keys in accounts.items() for key in keys}

    in_files = by_file | {"WEBHOOK_SERVICE_PASSWORD"}
    assert containers == names_in(HA / "node.env.example") - in_files | {"WEBHOOK_SERVICE_PASSWORD_FILE"}
    assert in_files <= names_in(HA / "node.env.example")
    assert all(f"      {name}: " in compose or f"  {name}: " in compose for name in names_in(HA / "etcd.env.example"))


def secret_files(folder: Path, **passwords: str) -> dict[str, str]:
    """Returns the files that the containers are given, by name."""
    names = dict.fromkeys(PASSWORDS, "'a/b@c:d#e%f") | passwords
    (folder / ".env").write_text("".join(f"{name}={value}\n" for name, value in names.items()) + "API_TOKEN=t\n")
    subprocess.run([HA / "write-secret-files.sh", folder / ".env", folder / "secrets"], check=True)
    return {path.name: path.read_text() for path in (folder / "secrets").iterdir()}


def test_the_containers_of_the_service_get_no_password_but_its_own(tmp_path: Path) -> None:
    written = secret_files(tmp_path)

    assert written["settings"] == "API_TOKEN=t\n"
    assert make_url(written["database_url"]).password == "'a/b@c:d#e%f"
    assert make_url(written["read_database_url"]).password == "'a/b@c:d#e%f"
    assert make_url(written["read_database_url"]).query["target_session_attrs"] == "prefer-standby"


@pytest.mark.parametrize("password", ["'a/b@c:d#e%f", 'x"y: {z}', "x\\y"])
def test_patroni_reads_each_password_as_it_is_in_the_env_file(tmp_path: Path, password: str) -> None:
    written = secret_files(tmp_path, REWIND_PASSWORD=password)

    read = yaml.safe_load(written["patroni_passwords.yml"])
    assert read["postgresql"]["authentication"]["rewind"] == {"username": "rewinder", "password": password}
    assert written["webhook_service_password"] == "'a/b@c:d#e%f"


def test_the_nodes_of_the_database_are_not_made_anew_for_a_setting_of_the_service() -> None:
    services = yaml.safe_load((HA / "compose.yml").read_text())["services"]

    assert [name for name, service in services.items() if "env_file" in service] == ["app", "migrate"]


def test_systemd_takes_the_unit(tmp_path: Path) -> None:
    analyze = shutil.which("systemd-analyze")
    if analyze is None:
        pytest.skip("no systemd-analyze")
    unit = tmp_path / "patroni.service"
    unit.write_text((HA / "systemd" / unit.name).read_text().replace("/opt/patroni/bin/patroni", "/bin/true"))

    verified = subprocess.run([analyze, "verify", unit], capture_output=True, text=True, check=False)

    assert [line for line in verified.stderr.splitlines() if str(tmp_path) in line] == []
