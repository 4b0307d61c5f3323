"""A listening socket for each worker, held by the arbiter, so that queued connections survive the end of a worker.

The kernel spreads connections over these sockets. With one socket for all, the worker that wakes first takes as many
as it can: now and then nearly all of them, while half of the machine stands idle.
"""

import sys
from itertools import count
from os import environ
from typing import Any

from gunicorn.sock import close_sockets, create_sockets  # type: ignore[import-untyped]  # gunicorn has no types


def has_own_listeners(bind: str) -> bool:
    """Tells whether each worker gets its own socket, as on Linux; UNIX sockets and inherited ones are always shared."""
    return sys.platform == "linux" and not bind.startswith(("unix:", "fd:")) and "LISTEN_FDS" not in environ


def open_first_listener(arbiter: Any) -> None:
    """Opens the first listener; when another server has the address, the start ends with gunicorn's own message.

    Opening only a socket with SO_REUSEPORT would share the address with any other program of the same user that does
    so too, and nobody would notice.
    """
    if arbiter.master_pid:  # this server takes over the listeners of another
        return
    close_sockets(create_sockets(arbiter.cfg, arbiter.log))
    arbiter.LISTENERS = _create_shared(arbiter)


def open_listeners(arbiter: Any) -> None:
    """Opens more listeners until each worker has one. No listener is closed before the server stops."""
    while len(arbiter.LISTENERS) < arbiter.num_workers:
        arbiter.LISTENERS += _create_shared(arbiter)


def assign_listeners(arbiter: Any, worker: Any) -> None:
    """Gives a worker that is about to start a place among those with its configuration, and that place's listeners."""
    taken = {other.place for other in arbiter.WORKERS.values() if other.cfg is arbiter.cfg}
    worker.place = next(place for place in count() if place not in taken)
    worker.sockets = arbiter.LISTENERS[worker.place :: arbiter.num_workers]


def close_those_of_others(arbiter: Any, worker: Any) -> None:
    """Closes a worker's copies of other workers' listeners, for which the kernel would queue what nobody takes."""
    for listener in arbiter.LISTENERS:
        if listener not in worker.sockets:
            listener.close()


def _create_shared(arbiter: Any) -> list[Any]:
    arbiter.cfg.set("reuse_port", True)
    try:
        created: list[Any] = create_sockets(arbiter.cfg, arbiter.log)
        return created
    finally:
        arbiter.cfg.set("reuse_port", False)  # otherwise each worker would open a socket of its own
