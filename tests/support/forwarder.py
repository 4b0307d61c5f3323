"""``webhook-service forward`` as a process of its own."""

import os
import signal
from pathlib import Path
from types import TracebackType
from typing import Self

from tests.support.forked import Process, spawn
from tests.support.forwarding_destinations import SECRET
from tests.support.processes import environment
from tests.support.waiting import wait_until

STOP_PATIENCE = 60.0  # seconds to wait for it to stop


class ForwarderProcess:
    """A forwarder to one destination, declared in a file in ``folder``; as a context, it runs during the block."""

    def __init__(self, database_url: str, folder: Path, url: str) -> None:
        config = folder / "webhook-service.toml"
        config.write_text(
            f"""
[destinations.shop]
url = "{url}"
secrets = [{{env = "SHOP_SECRET"}}]
allowed_networks = ["127.0.0.0/8"]
start = "beginning"
timeout = {{connect = 1, total = 1}}
retry = {{first = 0.1, longest = 0.1, total = 600}}
"""
        )
        self.environ = environment(database_url, CONFIG_FILE=str(config), SHOP_SECRET=SECRET)
        self._log = folder / f"forwarder-{id(self)}.log"
        self._process: Process | None = None
        self._said_before = 0

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self, _type: type[BaseException] | None, _error: BaseException | None, _trace: TracebackType | None
    ) -> None:
        self.stop()

    @property
    def process(self) -> Process:
        assert self._process is not None, "not started"
        return self._process

    def start(self) -> None:
        """Starts the forwarder, without waiting for a push."""
        command = ("webhook-service", "forward", "--lease-seconds", "5")
        with self._log.open("ab") as log:
            self._said_before = log.tell()
            self._process = spawn(command, self.environ, log, log)

    def wait_until_ready(self) -> None:
        """Waits until the forwarder pushes, or would if there were something to push."""
        wait_until(lambda: b"pushing to shop" in self._log.read_bytes()[self._said_before :], "the forwarder")

    def kill(self) -> None:
        """Kills the forwarder."""
        os.kill(self.process.pid, signal.SIGKILL)
        self.process.wait()

    def stop(self) -> int:
        """Stops the forwarder in an orderly way, and returns its exit status."""
        if self.process.poll() is None:
            self.process.terminate()
        return self.process.wait(STOP_PATIENCE)

    def log(self) -> str:
        """Returns the log of the forwarder."""
        return self._log.read_text()
