"""A listening socket for each worker, held by the arbiter, so that a worker that ends resets nothing in its queue.

Among them the kernel spreads connections. Of one socket for all, whichever worker wakes first takes what it can: now
and then nearly all of them, and half of the machine stands idle.
"""

import sys
from itertools import count
from os import environ
from typing import Any

from gunicorn.sock import close_sockets, create_sockets  # type: ignore[import-untyped]  # gunicorn has no types


def has_own_listeners(bind: str) -> bool:
    """Tells if each worker gets a socket; those that have a name, or come from outside, are one for all workers."""
    return sys.platform == "linux" and not bind.startswith(("unix:", "fd:")) and "LISTEN_FDS" not in environ


def open_first_listener(arbiter: Any) -> None:
    """Opens a listener, and stops the start, with gunicorn's own message, when another server has the address.

    A socket that is shared would be so with any other program of the same user, and nobody would notice.
    """
    if arbiter.master_pid:  # whose listeners this server takes over
        return
    close_sockets(create_sockets(arbiter.cfg, arbiter.log))
    arbiter.LISTENERS = _create_shared(arbiter)


def open_listeners(arbiter: Any) -> None:
    """Opens more listeners until there is one for each worker. None is closed before the server stops."""
    while len(arbiter.LISTENERS) < arbiter.num_workers:
        arbiter.LISTENERS += _create_shared(arbiter)


def assign_listeners(arbiter: Any, worker: Any) -> None:
    """Gives a worker that is about to be started its place among those of its configuration, and their listeners."""
    taken = {other.place for other in arbiter.WORKERS.values() if other.cfg is arbiter.cfg}
    worker.place = next(place for place in count() if place not in taken)
    worker.sockets = arbiter.LISTENERS[worker.place :: arbiter.num_workers]


def close_those_of_others(arbiter: Any, worker: Any) -> None:
    """Closes a worker's copies of listeners that are not its own: the kernel would queue for them what nobody takes."""
    for listener in arbiter.LISTENERS:
        if listener not in worker.sockets:
            listener.close()


def _create_shared(arbiter: Any) -> list[Any]:
    arbiter.cfg.set("reuse_port", True)
    try:
        created: list[Any] = create_sockets(arbiter.cfg, arbiter.log)
        return created
    finally:
        arbiter.cfg.set("reuse_port", False)  # or else each worker would open one of its own
