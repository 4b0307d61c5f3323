"""The files for a node of PostgreSQL under Patroni: what tests/ha runs is what they say."""

import re
import shutil
import subprocess
from pathlib import Path

import pytest

from tests.support.processes import ROOT

HA = ROOT / "deploy" / "ha"


def names_in(file: Path) -> set[str]:
    """The names that a file of settings sets."""
    return set(re.findall(r"^([A-Z0-9_]+)=", file.read_text(), re.MULTILINE))


def test_the_example_of_a_node_sets_what_the_tests_of_failover_set() -> None:
    tested = set(re.findall(r'"((?:PATRONI|WEBHOOK_SERVICE)_[A-Z0-9_]+)":', (ROOT / "tests/ha/cluster.py").read_text()))

    assert tested - {"PATRONI_POSTGRESQL_PGPASS"} == names_in(HA / "node.env.example")


def test_the_containers_set_the_same() -> None:
    compose = (HA / "compose.yml").read_text()
    containers = set(re.findall(r"^\s+((?:PATRONI|WEBHOOK_SERVICE)_[A-Z0-9_]+):", compose, re.MULTILINE))

    assert containers - {"PATRONI_POSTGRESQL_PGPASS"} == names_in(HA / "node.env.example")
    assert all(f"      {name}: " in compose or f"  {name}: " in compose for name in names_in(HA / "etcd.env.example"))


def test_systemd_takes_the_unit(tmp_path: Path) -> None:
    analyze = shutil.which("systemd-analyze")
    if analyze is None:
        pytest.skip("no systemd-analyze")
    unit = tmp_path / "patroni.service"
    unit.write_text((HA / "systemd" / unit.name).read_text().replace("/opt/patroni/bin/patroni", "/bin/true"))

    verified = subprocess.run([analyze, "verify", unit], capture_output=True, text=True, check=False)

    assert [line for line in verified.stderr.splitlines() if str(tmp_path) in line] == []
