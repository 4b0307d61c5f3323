"""The files for a server without containers: systemd's units, and the site for nginx in front of a real service."""

import configparser
import re
import shutil
import ssl
import subprocess
from pathlib import Path

import urllib3

from tests.support.deliveries import payload, signed, to_bytes
from tests.support.forked import run_cli
from tests.support.processes import ROOT, environment
from tests.support.server import Server, free_port
from tests.support.waiting import wait_until

UNITS = ROOT / "deploy" / "systemd"
INSTALLED = re.compile(r"/opt/webhook-service/venv/bin/(webhook-service|litestream)")
MOST_EXPOSURE = 2.0  # of systemd-analyze's 0 (safe) to 10


def read_unit(file: Path) -> configparser.SectionProxy:
    unit = configparser.RawConfigParser(strict=False)
    unit.optionxform = str  # type: ignore[assignment,method-assign]  # the documented way to keep the case of names
    unit.read(file)
    return unit["Service"]


def test_each_service_is_hardened_alike() -> None:
    names = ("", "-prune", "-backup", "-litestream")
    server, *others = (read_unit(UNITS / f"webhook-service{name}.service") for name in names)
    hardening = {name: value for name, value in server.items() if name.startswith(("Protect", "Private", "Restrict"))}

    assert len(hardening) > 15
    for other in others:
        assert {name: other.get(name) for name in hardening} == hardening
        assert other["User"] == server["User"]
        assert other["Environment"] == server["Environment"] or "litestream" in other["ExecStart"]


def test_systemd_takes_the_units(tmp_path: Path) -> None:
    """Where the machine has systemd's own checker, it finds nothing, and the server little exposed."""
    analyze = shutil.which("systemd-analyze")
    for file in UNITS.iterdir():
        (tmp_path / file.name).write_text(INSTALLED.sub("/bin/true", file.read_text()))
    if analyze is None:
        assert (tmp_path / "webhook-service.service").exists()
        return

    units = sorted(tmp_path.iterdir())
    verified = subprocess.run([analyze, "verify", *units], capture_output=True, text=True, check=False)
    exposure = subprocess.run(
        [analyze, "security", "--offline=true", f"--threshold={MOST_EXPOSURE * 10:.0f}", units[-1]],
        capture_output=True,
        text=True,
        check=False,
    )

    assert units[-1].name == "webhook-service.service"
    assert (verified.returncode, [line for line in verified.stderr.splitlines() if str(tmp_path) in line]) == (0, [])
    assert exposure.returncode == 0, exposure.stdout[-500:]


def test_the_site_for_nginx_ends_tls_in_front_of_the_service(sqlite_url: str, tmp_path: Path) -> None:
    certificate, key, port = tmp_path / "certificate", tmp_path / "key", free_port()
    subprocess.run(
        [
            *("openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "1", "-subj", "/CN=localhost"),
            *("-addext", "subjectAltName=DNS:localhost", "-keyout", key, "-out", certificate),
        ],
        capture_output=True,
        check=True,
    )
    names = ("--server-name", "localhost", "--certificate", str(certificate), "--key", str(key))
    with Server(sqlite_url, TRUSTED_PROXIES="1") as server:
        site = run_cli("config", "nginx", *names, environ=server.environ)
        assert (site.returncode, site.stderr) == (0, "")
        ipv4 = "".join(line for line in site.stdout.splitlines(keepends=True) if "listen [::]" not in line)
        (tmp_path / "site.conf").write_text(ipv4.replace("listen 443", f"listen 127.0.0.1:{port}"))
        _run_nginx(tmp_path, port, server, certificate)


def test_no_site_is_made_for_a_socket_that_the_service_is_given_open(sqlite_url: str) -> None:
    refused = run_cli("config", "nginx", "--server-name", "localhost", environ=environment(sqlite_url, BIND="fd://3"))

    assert (refused.returncode, refused.stdout) == (1, "")
    assert "BIND is fd://3" in refused.stderr


def _run_nginx(folder: Path, port: int, server: Server, certificate: Path) -> None:
    site = folder / "site.conf"
    site.write_text(site.read_text().replace("/var/log/nginx/", f"{folder}/"))
    temporary = " ".join(
        f"{kind}_temp_path {folder}/{kind};" for kind in ("client_body", "proxy", "fastcgi", "scgi", "uwsgi")
    )
    # What Debian's own nginx.conf says where it includes a site.
    around = f"server_tokens off; types_hash_max_size 2048; default_type application/octet-stream; {temporary}"
    (folder / "nginx.conf").write_text(
        f"pid {folder}/pid; error_log {folder}/error.log; events {{}} http {{ {around} include {site}; }}"
    )
    command = ["nginx", "-c", str(folder / "nginx.conf"), "-e", str(folder / "error.log"), "-g", "daemon off;"]
    body = to_bytes(payload(message_id="through-tls"))
    client = urllib3.PoolManager(ssl_context=ssl.create_default_context(cafile=str(certificate)), retries=False)

    def answers() -> bool:
        try:
            return client.request("GET", f"https://localhost:{port}/health/ready").status == 200
        except urllib3.exceptions.HTTPError:
            return False

    with subprocess.Popen(command, stderr=subprocess.PIPE) as nginx:
        try:
            wait_until(answers, "nginx to answer")
            stored = client.request("POST", f"https://localhost:{port}/webhook", body=body, headers=signed(body))
            metrics = client.request("GET", f"https://localhost:{port}/metrics")
            too_large = client.request("POST", f"https://localhost:{port}/webhook", body=b"x" * (3 * 2**20 + 1))
            plain = client.request("GET", f"http://localhost:{port}/health/ready")
        finally:
            nginx.terminate()
            client.clear()

    assert (stored.status, metrics.status, too_large.status) == (200, 403, 413)
    assert (plain.status, plain.json()) == (400, {"detail": "bad request"})
    assert server.get("/messages/through-tls").status == 200
