"""A signal to stop that comes right after a fork, before the worker has executed anything."""

import subprocess
import sys
from pathlib import Path

from tests.support.processes import ROOT

FORKS = 40
FORKING = f"""
import os, signal
from types import SimpleNamespace
from sqlalchemy import make_url
from webhook_service.serving.server import Server
from webhook_service.settings import Settings

heard = []
signal.signal(signal.SIGTERM, lambda number, frame: heard.append(number))
server = Server(Settings(make_url("sqlite:////nonexistent"), bind="unix:/nonexistent"))

def spawn():
    told, tell = os.pipe()
    child = os.fork()
    if child:
        os.kill(child, signal.SIGTERM)
        os.write(tell, b"!")
        return child
    os.read(told, 1)
    server.post_fork(arbiter, None)
    os._exit(len(heard))

arbiter = SimpleNamespace(spawn_worker=spawn)
server.on_starting(arbiter)
statuses = [os.waitpid(arbiter.spawn_worker(), 0)[1] for _ in range({FORKS})]
os.kill(os.getpid(), signal.SIGTERM)
print(sum(map(os.waitstatus_to_exitcode, statuses)), len(heard))
"""


def test_each_worker_hears_of_it_and_so_does_the_arbiter_of_its_own(tmp_path: Path) -> None:
    script = tmp_path / "forking.py"
    script.write_text(FORKING)

    ran = subprocess.run(
        [sys.executable, script], capture_output=True, cwd=ROOT, env={"PYTHONPATH": str(ROOT)}, timeout=60, check=True
    )

    assert ran.stdout.split() == [b"%d" % FORKS, b"1"]
