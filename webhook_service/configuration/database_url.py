"""URLs of databases: reads them as they are set, and writes them as they may be shown."""

import re

from sqlalchemy import URL, make_url
from sqlalchemy.exc import ArgumentError

_SEVERAL_HOSTS = re.compile(r"(\w[\w+]*://(?:[^/?#]*@)?)([^/?#@]*,[^/?#@]*)(.*)", re.DOTALL)


def parse_url(url: str) -> URL:
    """Reads a database URL in any of the accepted spellings; ValueError, which shows none of the URL, for any other.

    It may name several hosts as in libpq, HOST:PORT,HOST:PORT:
    https://www.postgresql.org/docs/current/libpq-connect.html#LIBPQ-MULTIPLE-HOSTS
    """
    try:
        parsed = _read_url(url)
    except (ArgumentError, ValueError):
        # The text of the library's error may quote a part of the password.
        raise ValueError("not a database URL") from None
    match parsed.drivername:
        case "sqlite" | "sqlite+aiosqlite" | "sqlite+pysqlite":
            if not parsed.database or parsed.database == ":memory:":
                raise ValueError("SQLite needs a file: workers share nothing else")
            return parsed.set(drivername="sqlite")
        case "postgres" | "postgresql" | "postgresql+psycopg" | "postgresql+asyncpg":
            return _checked_by_its_driver(_with_password_in_its_place(parsed.set(drivername="postgresql+psycopg")))
    raise ValueError("only sqlite:// and postgresql:// are supported")


def _read_url(url: str) -> URL:
    """Reads a URL with SQLAlchemy, which accepts several hosts only as parameters."""
    several = _SEVERAL_HOSTS.fullmatch(url)
    if several is None:
        return make_url(url)
    before, hosts, after = several.groups()
    parts = [re.fullmatch(r"(\[[^]]*\]|[^:]*)(?::([0-9]*))?", each) for each in hosts.split(",")]
    if not all(parts):
        raise ValueError
    names, ports = zip(*(part.groups("") for part in parts if part), strict=True)
    query = {"host": ",".join(name.strip("[]") for name in names)}
    if any(ports):
        query["port"] = ",".join(ports)
    return make_url(before + after).update_query_dict(query)


def _checked_by_its_driver(url: URL) -> URL:
    """Returns the URL with a port for each host; ValueError where SQLAlchemy finds that they don't go together.

    libpq takes one port for all hosts, which SQLAlchemy does not.
    """
    hosts, port = url.query.get("host"), url.query.get("port")
    if isinstance(hosts, str) and isinstance(port, str) and "," not in port:
        url = url.update_query_dict({"port": ",".join([port] * len(hosts.split(",")))})
    try:
        url.get_dialect()().create_connect_args(url)
    except (ArgumentError, ValueError):
        raise ValueError("its hosts and ports don't go together") from None
    return url


def has_several_hosts(url: URL) -> bool:
    """Tells whether a URL names several servers, among which ``target_session_attrs`` chooses."""
    host = url.query.get("host", "")
    return len(host) > 1 if isinstance(host, tuple) else "," in host


def _with_password_in_its_place(url: URL) -> URL:
    """Moves a password from the parameters, where libpq allows it, to the part of the URL that SQLAlchemy hides."""
    password = url.query.get("password")
    if not isinstance(password, str):
        return url
    return url.difference_update_query(["password"]).set(password=password)


def is_sqlite(url: URL) -> bool:
    """Tells whether a URL is of a SQLite database."""
    return url.drivername == "sqlite"


def masked_url(url: URL) -> str:
    """Writes a database URL as it may be shown: without any password."""
    hidden = {name: "***" for name in url.query if "password" in name}  # such as libpq's sslpassword
    return url.update_query_dict(hidden).render_as_string(hide_password=True)
