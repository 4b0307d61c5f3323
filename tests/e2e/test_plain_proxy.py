"""A server without an API token behind an nginx that adds no header: ``proxy_pass http://127.0.0.1:PORT;`` alone."""

import os
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import urllib3

from tests.support.deliveries import payload, signed, to_bytes
from tests.support.server import Server, free_port
from tests.support.waiting import wait_until

CONFIGURATION = """
    daemon off;
    pid {folder}/pid;
    error_log stderr;
    events {{ worker_connections 64; }}
    http {{
        access_log off;
        client_body_temp_path {folder}/body;
        proxy_temp_path {folder}/proxy;
        fastcgi_temp_path {folder}/fastcgi;
        uwsgi_temp_path {folder}/uwsgi;
        scgi_temp_path {folder}/scgi;
        server {{
            listen 127.0.0.1:{own_port};
            location / {{ proxy_pass http://127.0.0.1:{port}; }}
        }}
    }}
"""
READS = ("/messages", "/stats", "/feed", "/quarantine")


@contextmanager
def nginx_before(port: int) -> Iterator[str]:
    """An nginx that passes all requests on, and its address. Started by root, it gives its workers to another user."""
    program = shutil.which("nginx", path=f"{os.environ['PATH']}:/usr/sbin")
    assert program, "nginx is not installed"
    own_port = free_port()
    with tempfile.TemporaryDirectory() as folder:
        configuration = Path(folder) / "nginx.conf"
        configuration.write_text(CONFIGURATION.format(folder=folder, own_port=own_port, port=port))
        command = [program, "-c", str(configuration), "-e", "stderr"]
        process = subprocess.Popen(command, stderr=subprocess.DEVNULL)
        try:
            yield f"http://127.0.0.1:{own_port}"
        finally:
            process.terminate()
            process.wait()


def answers(url: str) -> bool:
    """Tells whether the server answers through the proxy."""
    try:
        return urllib3.request("GET", f"{url}/health/live", retries=False).status == 200
    except urllib3.exceptions.HTTPError:
        return False


def test_a_proxy_of_another_user_opens_nothing_and_passes_deliveries_on(server: Server) -> None:
    raw = to_bytes(payload())
    with nginx_before(server.port) as url:
        wait_until(lambda: answers(url), "nginx to pass requests on")

        delivered = urllib3.request("POST", f"{url}/webhook", body=raw, headers=signed(raw)).status
        read = {urllib3.request("GET", f"{url}{path}").status for path in READS}
        replayed = urllib3.request("POST", f"{url}/quarantine/999999/replay").status

    # Unless root has started it, nginx runs as this user, whom the server takes for its own.
    assert delivered == 200
    assert (read, replayed) == (({401}, 401) if os.geteuid() == 0 else ({200}, 404))


def test_this_user_needs_no_token(server: Server) -> None:
    assert server.get("/messages").status == 200
    assert server.get("/messages", headers={"Via": "1.1 proxy"}).status == 401
