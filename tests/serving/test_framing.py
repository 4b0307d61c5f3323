"""What a request is, by what has arrived of it."""

import pytest

from webhook_service.serving.framing import MAX_WHOLE, Kind, RequestBuffer

HEAD = b"POST /webhook HTTP/1.1\r\n"
DELIVERIES = {
    "whole": HEAD + b"Content-Length: 2\r\n\r\n{}",
    "of another provider": b"POST /webhook/twilio HTTP/1.1\r\nA: b\r\ncontent-length:2\r\nC: d\r\n\r\n{}",
    "with a query": b"POST /webhook?a=b HTTP/1.1\r\nContent-Length: 0\r\n\r\n",
    "followed by another request": HEAD + b"Content-Length: 2\r\n\r\n{}P",
}
INCOMPLETE = {
    "half a head": HEAD + b"Content-Length: 2\r\n",
    "a head": HEAD + b"Content-Length: 70\r\n\r\n",
    "half a body": HEAD + b"Content-Length: 3\r\n\r\n{}",
    "half the body of another request": b"PUT / HTTP/1.1\r\nContent-Length: 3\r\n\r\n{}",
}
EXPORTS = {
    "of all": b"GET /export HTTP/1.1\r\nHost: a\r\n\r\n",
    "of some": b"GET /export?from=%2B49 HTTP/1.1\r\nHost: a\r\n\r\n",
}
OTHERS = {
    "without a length": HEAD + b"Host: a\r\n\r\n",
    "a length in the body": HEAD + b"Host: a\r\n\r\n\r\nContent-Length: 0\r\n\r\n",
    "another method": b"GET /webhook HTTP/1.1\r\nContent-Length: 0\r\n\r\n",
    "another path": b"POST /webhooks HTTP/1.1\r\nContent-Length: 0\r\n\r\n",
}
LONG = {
    "chunked": HEAD + b"Content-Length: 2\r\nTransfer-Encoding: chunked\r\n\r\n{}",
    "from one who waits to be told to go on": HEAD + b"Content-Length: 2\r\nExpect: 100-continue\r\n\r\n",
    "a length that is none": HEAD + b"Content-Length: +2\r\n\r\n{}",
    "a length of many digits": HEAD + b"Content-Length: 0000000002\r\n\r\n{}",
    "large": HEAD + b"Content-Length: %d\r\n\r\n" % MAX_WHOLE,
    "a head without an end": HEAD.ljust(MAX_WHOLE, b"a"),
}
KINDS = [
    *(pytest.param(sent, Kind.DELIVERY, id=name) for name, sent in DELIVERIES.items()),
    *(pytest.param(sent, Kind.INCOMPLETE, id=name) for name, sent in INCOMPLETE.items()),
    *(pytest.param(sent, Kind.EXPORT, id=name) for name, sent in EXPORTS.items()),
    *(pytest.param(sent, Kind.OTHER, id=name) for name, sent in OTHERS.items()),
    *(pytest.param(sent, Kind.LONG, id=name) for name, sent in LONG.items()),
]


@pytest.mark.parametrize("step", [1, 7, 100_000])
@pytest.mark.parametrize(("sent", "kind"), KINDS)
def test_a_request_is_known_by_what_has_arrived_of_it(sent: bytes, kind: Kind, step: int) -> None:
    arrived = RequestBuffer()
    for start in range(0, len(sent), step):
        arrived.add(sent[start : start + step])
        arrived.kind()

    assert arrived.kind() is kind
    assert arrived.take() == sent
