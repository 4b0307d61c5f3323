"""URLs on the command line."""

import click
import urllib3


def check_url(_context: click.Context, _option: click.Parameter, url: str | None) -> str | None:
    """Checks that an option is a whole URL, and removes a slash at its end."""
    if url is None:
        return None
    try:
        parts = urllib3.util.parse_url(url)
    except urllib3.exceptions.LocationParseError:
        raise click.BadParameter(f"{url} is no URL; one is http://127.0.0.1:8000") from None
    if parts.scheme not in {"http", "https"} or not parts.host:
        raise click.BadParameter(f"{url} is not a whole URL: http:// or https:// stands before the host")
    return url.rstrip("/")
