"""Cursors that were made up: whoever knows how one is made can make any, and gets a page or a 422."""

import json
from base64 import urlsafe_b64encode
from collections.abc import Iterator
from datetime import timedelta
from hashlib import blake2s
from typing import Any

import pytest
from flask.testing import FlaskClient
from hypothesis import example, given, settings
from hypothesis import strategies as st

from tests.support.app import application
from tests.support.messages import MOMENT, message
from tests.support.stored import opened
from webhook_service.domain.messages import MessageFilter, Order, Position
from webhook_service.schemas.feed import FEED_CURSORS
from webhook_service.schemas.messages import message_cursors
from webhook_service.storage.queries.messages import encode_message, insert_messages

NO_FILTER: list[str | None] = [None] * 6
SINCE = "2025-01-15T10:00:00Z"
LISTS: dict[str, list[str | None]] = {
    "/messages?cursor=": ["messages", "asc", *NO_FILTER],
    "/messages?order=desc&cursor=": ["messages", "desc", *NO_FILTER],
    "/messages?from=+1&q=hello&cursor=": ["messages", "asc", "+1", None, None, None, None, "hello"],
    f"/messages?since={SINCE}&cursor=": ["messages", "asc", None, None, None, SINCE, None, None],
    "/export?cursor=": ["messages", "asc", *NO_FILTER],
    "/receipts?cursor=": ["receipts", None, None],
    "/quarantine?cursor=": ["quarantine"],
    "/feed?after=": ["feed"],
}


def forge(scope: list[str | None], packed: bytes) -> str:
    """A cursor with the right digest, made by what the service says of its cursors."""
    named = json.dumps(scope, separators=(",", ":")).encode()
    digest = blake2s(named + packed, digest_size=8).digest()
    return urlsafe_b64encode(digest + packed).rstrip(b"=").decode()


def pack(place: Any) -> bytes:
    return json.dumps(place, separators=(",", ":"), ensure_ascii=False).encode(errors="replace")


@pytest.fixture(scope="module")
def client(shared_database_url: str) -> Iterator[FlaskClient]:
    """An application on each kind of database, with a message in it."""
    with opened(shared_database_url) as database, database.transaction() as transaction:
        insert_messages(transaction, [encode_message(message(ts=MOMENT - timedelta(days=1)))])
    with application(shared_database_url) as made:
        yield made


texts = st.text(st.characters(), max_size=4) | st.sampled_from(["\0", "a\0b", "x" * 255, "x" * 256, "\ud800"])
times = st.datetimes().map(lambda moment: moment.isoformat() + "Z") | st.sampled_from(
    [
        SINCE,
        "0001-01-01T00:00:00Z",
        "9999-12-31T23:59:59.999999Z",
        "0000-01-01T00:00:00Z",
        "10000-01-01T00:00:00Z",
        "2025-01-15T10:00:00+25:00",
        "0001-01-01T00:00:00+14:00",
        "2025-01-15T10:00:00",
    ]
)
numbers = st.integers() | st.sampled_from([0, -1, 2**31, 2**63 - 1, 2**63, 2**64, 10**400])
scalars = st.none() | st.booleans() | st.floats() | numbers | texts | times
values = st.recursive(scalars, lambda inner: st.lists(inner) | st.dictionaries(texts, inner), max_leaves=6)
places = st.tuples(times, texts) | st.tuples(numbers) | st.lists(scalars, max_size=3) | values


@pytest.mark.parametrize("path", LISTS)
@settings(max_examples=60, deadline=None)
@given(place=places, escaped=st.booleans())
@example(place=[SINCE, "\0"], escaped=True)
@example(place=[SINCE, "\ud800"], escaped=True)
@example(place=[2**63], escaped=True)
@example(place=[10**400], escaped=True)
@example(place=[True], escaped=True)
@example(place=[], escaped=True)
def test_any_place_with_the_right_digest_is_a_page_or_refused(
    client: FlaskClient, path: str, place: Any, escaped: bool
) -> None:
    packed = json.dumps(place, separators=(",", ":")).encode() if escaped else pack(place)

    answer = client.get(path + forge(LISTS[path], packed))

    assert answer.status_code in {200, 422}
    if answer.status_code == 422:
        assert list(answer.get_json()["errors"]) == ["after" if path.startswith("/feed") else "cursor"]


@pytest.mark.parametrize("path", LISTS)
@settings(max_examples=50, deadline=None)
@given(packed=st.binary(max_size=30))
@example(packed=b"[" * 3000)
@example(packed=b"")
def test_any_bytes_with_the_right_digest_are_refused(client: FlaskClient, path: str, packed: bytes) -> None:
    assert client.get(path + forge(LISTS[path], packed)).status_code == 422


@pytest.mark.parametrize("place", [[0], [2**63 - 1]])
@pytest.mark.parametrize("path", [path for path in LISTS if not path.startswith(("/messages", "/export"))])
def test_the_place_of_a_row_is_a_page(client: FlaskClient, path: str, place: list[int]) -> None:
    assert client.get(path + forge(LISTS[path], pack(place))).status_code == 200


@pytest.mark.parametrize("place", [[SINCE, "a"], ["0001-01-01T00:00:00Z", ""], ["9999-12-31T23:59:59.999999Z", "é"]])
@pytest.mark.parametrize("path", [path for path in LISTS if path.startswith(("/messages", "/export"))])
def test_the_place_of_a_message_is_a_page(client: FlaskClient, path: str, place: list[str]) -> None:
    assert client.get(path + forge(LISTS[path], pack(place))).status_code == 200


def test_the_id_of_a_place_is_no_longer_than_one_of_a_message(client: FlaskClient) -> None:
    path = "/messages?cursor="
    longest, longer = (client.get(path + forge(LISTS[path], pack([SINCE, "x" * length]))) for length in (255, 256))

    assert (longest.status_code, longer.status_code) == (200, 422)


@pytest.mark.parametrize("spelled", ["2025-01-15T10:00:00.0Z", "2025-01-15 10:00:00Z", "2025-01-15T11:00:00+01:00"])
def test_a_place_has_one_spelling(client: FlaskClient, spelled: str) -> None:
    path = "/messages?cursor="

    assert client.get(path + forge(LISTS[path], pack([spelled, "a"]))).status_code == 422


def test_a_place_before_what_is_asked_for_opens_nothing(client: FlaskClient) -> None:
    path = f"/messages?since={SINCE}&limit=100&cursor="
    cursor = forge(LISTS[f"/messages?since={SINCE}&cursor="], pack(["0001-01-01T00:00:00Z", ""]))

    assert all(each["ts"] >= SINCE for each in client.get(path + cursor).get_json()["data"])


def test_a_place_stays_good_over_releases() -> None:
    by_time = message_cursors(MessageFilter(), Order.ASC).read("nqXBRDW6JP1bIjIwMjUtMDEtMTVUMTA6MDA6MDBaIiwiw6kiXQ")

    assert FEED_CURSORS.read("73lHPWBItzFbMV0") == 1
    assert by_time == Position(MOMENT, "é")
