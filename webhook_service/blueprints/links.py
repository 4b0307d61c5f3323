"""The ``Link`` header to the next page (RFC 8288), for clients that don't read the body."""

from urllib.parse import quote

from flask import request

# Characters that a query string may hold unescaped (RFC 3986, section 3.4), and the percent sign of existing escapes.
_AS_SENT = "%!$'()*+,;=:@/?-._~"


def next_link(parameter: str, place: str) -> str:
    """Returns the value of ``Link``: the URL of the current request with ``parameter`` set to a place."""
    pairs = [pair for pair in request.query_string.split(b"&") if pair]
    replaced = {parameter.encode(), b"offset"}
    kept = [quote(pair, safe=_AS_SENT) for pair in pairs if pair.partition(b"=")[0] not in replaced]
    return f'<{request.path}?{"&".join([*kept, f"{parameter}={place}"])}>; rel="next"'
