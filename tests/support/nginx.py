"""nginx with the shipped configuration in front of a server, and clients at addresses of their own."""

import re
import shutil
import subprocess
import tempfile
from pathlib import Path
from types import TracebackType
from typing import Any, Self
from urllib.parse import urlencode

import urllib3

from tests.support.deliveries import signed, to_bytes
from tests.support.processes import ROOT
from tests.support.server import Server, free_port
from tests.support.waiting import wait_until

TEMPLATE = ROOT / "deploy" / "nginx" / "nginx.conf.template"
PROGRAM = shutil.which("nginx", path="/usr/sbin:/usr/local/sbin:/usr/bin:/usr/local/bin")

_FORM = {"Content-Type": "application/x-www-form-urlencoded"}


class Nginx:
    """Debian's nginx with the template that the containers use, rendered for a server; as a context, it runs.

    Only addresses and the folder that it writes to are changed.
    """

    def __init__(self, server: Server, *, trusted_proxies: int = 1) -> None:
        self.port = free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        self._folder = Path(tempfile.mkdtemp(prefix="webhook_service-nginx-"))
        self._folder.chmod(0o755)  # if root starts nginx, its workers run as another user
        self._log = self._folder / "log"
        self._configuration = self._folder / "nginx.conf"
        self._configuration.write_text(_rendered(self, self._folder, server, trusted_proxies))
        self._process: subprocess.Popen[bytes] | None = None

    def __enter__(self) -> Self:
        assert PROGRAM, "nginx is not installed"
        command = [PROGRAM, "-c", str(self._configuration), "-e", "stderr", "-g", "daemon off;"]
        with self._log.open("ab") as log:
            self._process = subprocess.Popen(command, stdout=log, stderr=log)
        with Client(self, "127.0.0.1") as client:
            wait_until(lambda: client.is_answered(), "nginx to pass requests on")
        return self

    def __exit__(
        self, _type: type[BaseException] | None, _error: BaseException | None, _trace: TracebackType | None
    ) -> None:
        assert self._process is not None, "not started"
        self._process.terminate()
        self._process.wait()
        shutil.rmtree(self._folder)

    def output(self) -> str:
        """Returns all that nginx has written so far: its logs of requests and of errors."""
        return self._log.read_text()


class Client:
    """A client of nginx that connects from this loopback address; as a context, it closes its connections."""

    def __init__(self, nginx: Nginx, address: str) -> None:
        self._url = nginx.url
        self._http = urllib3.PoolManager(source_address=(address, 0), maxsize=64, retries=False, timeout=60)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, _type: type[BaseException] | None, _error: BaseException | None, _trace: TracebackType | None
    ) -> None:
        self._http.clear()

    def get(self, path: str, headers: dict[str, str] | None = None) -> urllib3.BaseHTTPResponse:
        """Sends a GET."""
        return self._http.request("GET", self._url + path, headers=headers)

    def post(self, path: str, form: dict[str, str], headers: dict[str, str]) -> urllib3.BaseHTTPResponse:
        """A POST of a form."""
        return self._http.request("POST", self._url + path, body=urlencode(form), headers={**_FORM, **headers})

    def deliver(self, content: Any) -> urllib3.BaseHTTPResponse:
        """Sends a signed delivery to the native provider, for ``Load``."""
        raw = to_bytes(content)
        return self._http.request("POST", f"{self._url}/webhook", body=raw, headers=signed(raw))

    def is_answered(self) -> bool:
        """Tells whether the server answers through nginx."""
        try:
            return self.get("/health/live").status == 200
        except urllib3.exceptions.HTTPError:
            return False


def _rendered(nginx: Nginx, folder: Path, server: Server, trusted_proxies: int) -> str:
    text = TEMPLATE.read_text()
    for of_the_container, of_the_test in {
        "listen 8080;": f"listen 127.0.0.1:{nginx.port};",
        "server app:8000;": f"server 127.0.0.1:{server.port};",
        "${MAX_BODY_BYTES}": "3145728",
        "${TRUSTED_PROXIES}": str(trusted_proxies),
    }.items():
        assert of_the_container in text
        text = text.replace(of_the_container, of_the_test)
    return re.sub(r"(pid|_temp_path) /tmp/", rf"\1 {folder}/", text)
