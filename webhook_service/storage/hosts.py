"""The servers of a cluster behind one URL: chooses which is tried first, and tells which one a connection is to.

https://www.postgresql.org/docs/current/libpq-connect.html#LIBPQ-MULTIPLE-HOSTS
"""

from collections.abc import Mapping
from typing import Any

import psycopg
from sqlalchemy import URL

Parameters = Mapping[str, Any]
"""The parameters of a connection, by libpq's names."""

TARGET_SESSION_ATTRS = "target_session_attrs"
_DEFAULT_PORT = "5432"


class Hosts:
    """The hosts of a URL; the one that took the last connection is tried first.

    After a failover the old primary may stay silent for hours. If hosts were tried in the order of the URL, each new
    connection would wait for the old primary's timeout before it came to the new one.
    """

    def __init__(self) -> None:
        self._last: tuple[str, str] | None = None

    def in_order(self, parameters: Parameters) -> Parameters:
        """Returns the parameters with the hosts in the order in which they are to be tried."""
        hosts, ports = (str(parameters.get(name) or "").split(",") for name in ("host", "port"))
        if len(hosts) == 1 or "hostaddr" in parameters:
            return parameters
        pairs = list(zip(hosts, ports * len(hosts) if len(ports) == 1 else ports, strict=True))
        pairs.sort(key=lambda pair: (pair[0], pair[1] or _DEFAULT_PORT) != self._last)
        return {
            **parameters,
            "host": ",".join(host for host, _ in pairs),
            "port": ",".join(port for _, port in pairs),
        }

    def remember(self, connection: psycopg.Connection[Any]) -> None:
        """Notes which host took a connection."""
        self._last = connection.info.host, str(connection.info.port)


def only_host_of(connection: psycopg.Connection[Any], parameters: Parameters) -> Parameters:
    """Returns the parameters for the same server that a connection is to, whatever its role is now."""
    info = connection.info
    address = {"hostaddr": info.hostaddr} if info.hostaddr else {}
    return {**parameters, "host": info.host, "port": info.port, TARGET_SESSION_ATTRS: "any", **address}


def for_readers(url: URL) -> URL:
    """Returns the URL for read-only sessions on the primary.

    libpq takes the server of such a session for a read-only one, which ``read-write`` refuses.
    """
    return (
        url.update_query_dict({TARGET_SESSION_ATTRS: "primary"})
        if url.query.get(TARGET_SESSION_ATTRS) == "read-write"
        else url
    )
