"""``[destinations.NAME]``: the URLs that messages are pushed to, and how."""

import re
from ipaddress import ip_network
from urllib.parse import urlsplit

from webhook_service.configuration.tables import NOT_INLINE, Table
from webhook_service.domain.consumers import BEGINNING, NOW, FeedFilter, Start
from webhook_service.domain.destinations import Destination, Network, On410, PushOrder, Retries, Target, Timeouts
from webhook_service.domain.limits import CONCURRENCY_MAX, CONSUMER_NAME_MAX
from webhook_service.domain.secrets import Secrets
from webhook_service.providers.standard import decode_standard_secret

SECTION = "destinations"

FILTER_KEYS = {"from": "sender", "to": "recipient", "source": "source", "provider": "provider", "type": "type"}

_NAME = re.compile(r"[a-z0-9][a-z0-9_-]*")
MOST_SECRETS = 4  # each of them signs every push
_LONGEST_TIME = 30 * 86_400.0  # seconds


def load_destination(name: str, table: Table) -> Destination | None:
    """Makes a destination of its table; None when its URL or secrets can't be used. Reports problems to the table."""
    if not _NAME.fullmatch(name) or len(name) > CONSUMER_NAME_MAX:
        table.report((), f"a name is 1 to {CONSUMER_NAME_MAX} lower-case letters, digits, - and _")
    url, secrets = _take_url(table), _take_secrets(table)
    networks = _take_networks(table)
    timeouts = _take_timeouts(table)
    defaults = Destination(name, Target(url or "", secrets or Secrets(""), timeouts, networks))
    destination = Destination(
        name,
        defaults.target,
        filter=_take_filter(table),
        start=_take_start(table),
        order=PushOrder(table.take_choice("order", [each.value for each in PushOrder]) or defaults.order),
        concurrency=_take_concurrency(table, defaults.concurrency),
        rate=_take_number(table, "rate", 0.001, 1_000_000.0),
        retries=_take_retries(table),
        on_410=On410(table.take_choice("on_410", [each.value for each in On410]) or defaults.on_410),
    )
    table.finish()
    return destination if url and secrets else None


def _take_url(table: Table) -> str | None:
    url = table.take_text("url", required=True)
    if url is None:
        return None
    try:
        parts = urlsplit(url)
        is_whole = parts.scheme in {"http", "https"} and bool(parts.hostname) and parts.port != 0
    except ValueError:
        is_whole = False
    if not is_whole or not url.isascii() or any(letter <= " " for letter in url):
        table.report(("url",), "must be a URL such as https://example.com/hook")
        return None
    if "@" in parts.netloc:
        table.report(("url",), "must hold no user and no password: the signature is what shows who sends")
        return None
    return url.partition("#")[0]


def _take_secrets(table: Table) -> Secrets | None:
    """Takes the list of secrets, each of which signs; None when it is empty or a secret can't be read."""
    found: list[str | None] = []
    for entry in table.take_tables("secrets", otherwise=NOT_INLINE):
        secret = entry.resolve_secret()
        entry.finish()
        try:
            if secret is not None:
                decode_standard_secret(secret)
        except ValueError:
            entry.report((), "the secret must be base64, with or without whsec_ before it")
        found.append(secret)
    if not table.values.get("secrets"):
        table.report(("secrets",), "missing")
    elif len(found) > MOST_SECRETS:
        table.report(("secrets",), f"at most {MOST_SECRETS}")
    return Secrets(*(secret or "" for secret in found)) if found and all(found) else None


def _take_networks(table: Table) -> tuple[Network, ...]:
    networks = []
    for place, text in enumerate(table.take("allowed_networks", list) or []):
        try:
            networks.append(ip_network(text if isinstance(text, str) else ""))
        except ValueError:
            table.report(("allowed_networks", str(place)), "must be a network such as 10.0.0.0/8")
    return tuple(networks)


def _take_timeouts(table: Table) -> Timeouts:
    defaults = Timeouts()
    below = table.take_table("timeout")
    if below is None:
        return defaults
    timeouts = Timeouts(
        connect=_take_number(below, "connect", 0.1, 60.0) or defaults.connect,
        total=_take_number(below, "total", 0.1, 300.0) or defaults.total,
    )
    below.finish()
    return timeouts


def _take_retries(table: Table) -> Retries:
    defaults = Retries()
    below = table.take_table("retry")
    if below is None:
        return defaults
    retries = Retries(
        first=_take_number(below, "first", 0.1, _LONGEST_TIME) or defaults.first,
        longest=_take_number(below, "longest", 0.1, _LONGEST_TIME) or defaults.longest,
        total=_take_number(below, "total", 0.1, _LONGEST_TIME) or defaults.total,
    )
    below.finish()
    return retries


def _take_filter(table: Table) -> FeedFilter:
    below = table.take_table("filter")
    if below is None:
        return FeedFilter()
    wanted = FeedFilter(**{name: below.take_text(key) for key, name in FILTER_KEYS.items()})
    below.finish()
    return wanted


def _take_start(table: Table) -> Start:
    """Reads the place in the feed to begin at: ``"now"``, ``"beginning"``, or a date."""
    if isinstance(table.values.get("start"), str):
        return BEGINNING if table.take_choice("start", ["beginning", "now"]) == "beginning" else NOW
    return table.take_moment("start") or NOW


def _take_concurrency(table: Table, default: int) -> int:
    concurrency = table.take("concurrency", int)
    if concurrency is None:
        return default
    if not 1 <= concurrency <= CONCURRENCY_MAX:
        table.report(("concurrency",), f"must be from 1 to {CONCURRENCY_MAX}")
        return default
    return concurrency


def _take_number(table: Table, key: str, least: float, most: float) -> float | None:
    """Reads a number from ``least`` to ``most``, whole or not."""
    is_whole = isinstance(table.values.get(key), int)
    number = table.take(key, int) if is_whole else table.take(key, float)
    if number is None:
        return None
    if not least <= number <= most:
        table.report((key,), f"must be from {least:g} to {most:g}")
        return None
    return float(number)
