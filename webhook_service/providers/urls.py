"""URLs that a sender may have signed: behind a proxy, the service knows its own URL only by its settings."""

import re
from collections.abc import Iterator
from itertools import product
from urllib.parse import urlsplit

from webhook_service.domain.deliveries import Delivery
from webhook_service.providers.diagnosis import Hint

_DEFAULT_PORTS = {"https": 443, "http": 80}
_PORT = re.compile(r":[0-9]*\Z")
_HOST_MAX = 255  # characters


def is_base_url(url: str) -> bool:
    """Tells whether a text is a URL to which a path can be added."""
    try:
        parts = urlsplit(url)
        port_is_sane = parts.port != 0
    except ValueError:
        return False
    is_bare = not (parts.query or parts.fragment or re.search(r"\s", url))
    return port_is_sane and is_bare and parts.scheme in _DEFAULT_PORTS and bool(parts.hostname)


def with_and_without_port(base_url: str) -> tuple[str, str]:
    """Returns a base URL with and without a port, either of which Twilio may have signed; neither ends in a slash.

    https://github.com/twilio/twilio-python/blob/main/twilio/request_validator.py tries the same two.
    """
    parts = urlsplit(base_url.rstrip("/"))
    host = _PORT.sub("", parts.netloc)
    port = parts.port or _DEFAULT_PORTS[parts.scheme]
    return parts._replace(netloc=f"{host}:{port}").geturl(), parts._replace(netloc=host).geturl()


def other_urls(public_url: str, delivery: Delivery) -> Iterator[str]:
    """Yields URLs that the delivery may have been sent to, if ``public_url`` is not what is set at the provider."""
    parts = urlsplit(public_url.rstrip("/"))
    hosts = {parts.netloc, delivery.headers.get("Host"), delivery.headers.get("X-Forwarded-Host")}
    path, question_mark, query = delivery.target.partition("?")
    targets = [delivery.target, f"{path}/{question_mark}{query}", path]
    for host, scheme, prefix, target in product(hosts, _DEFAULT_PORTS, {parts.path, ""}, targets):
        if host and len(host) <= _HOST_MAX and is_base_url(f"{scheme}://{host}"):
            for base_url in with_and_without_port(f"{scheme}://{host}{prefix}"):
                yield base_url + target


def difference(url: str, expected: str) -> Hint:
    """Names the first difference between the URL that was signed and the one that was expected."""
    ours, theirs = urlsplit(expected), urlsplit(url)
    if ours.hostname != theirs.hostname:
        return Hint.OTHER_HOST
    if (ours.path, ours.query) != (theirs.path, theirs.query):
        return Hint.OTHER_PATH
    return Hint.OTHER_SCHEME if ours.scheme != theirs.scheme else Hint.OTHER_PORT
