"""The way to the next page (RFC 8288), for clients that would rather not look into the body."""

from urllib.parse import quote

from flask import request

# What a query string may hold as it is (RFC 3986, section 3.4), and the escapes that are in it already.
_AS_SENT = "%!$'()*+,;=:@/?-._~"


def next_link(parameter: str, place: str) -> str:
    """The value of ``Link``: this request again, but from a place that ``parameter`` names."""
    pairs = [pair for pair in request.query_string.split(b"&") if pair]
    replaced = {parameter.encode(), b"offset"}
    kept = [quote(pair, safe=_AS_SENT) for pair in pairs if pair.partition(b"=")[0] not in replaced]
    return f'<{request.path}?{"&".join([*kept, f"{parameter}={place}"])}>; rel="next"'
