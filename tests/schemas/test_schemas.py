"""What a payload and a query string may hold, and how a message is shown."""

from datetime import UTC, datetime, timedelta, timezone
from typing import Any

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.support.deliveries import payload
from webhook_service.domain.errors import PayloadInvalid
from webhook_service.domain.formats import encode_json, format_timestamp, format_timestamps
from webhook_service.domain.messages import MessageFilter, Order, StoredMessage
from webhook_service.schemas.messages import load_message_query, present_message
from webhook_service.schemas.native import _at_a_glance, _native_payload, load_native_payload
from webhook_service.schemas.query import QueryInvalid

MOMENTS = st.datetimes(timezones=st.just(UTC))
ODD = st.one_of(
    st.none(), st.booleans(), st.integers(), st.floats(), st.just([]), st.just({}), st.text("a+1:Z\x00", max_size=5)
)


def wrong_fields(content: dict[str, Any]) -> set[str]:
    with pytest.raises(PayloadInvalid) as refused:
        load_native_payload(content)
    return set(refused.value.problems)


def wrong_parameters(query: bytes) -> set[str]:
    with pytest.raises(QueryInvalid) as refused:
        load_message_query(query)
    return set(refused.value.problems)


def read_ts(written: str) -> datetime:
    ts: datetime = load_native_payload(payload(ts=written))["ts"]
    return ts


EDGES = {
    "message_id": ["a" * 255, "a" * 256, "a\x00"],
    "from": ["+1\n", "1", "+" + "1" * 15, "+" + "1" * 16, "+\u0661"],
    "ts": ["2025-01-01T00:00:00", "2025-01-01t00:00z", "2025-02-30T00:00:00Z", "0001-01-01T00:00:00+23:59"],
    "text": ["", "a" * 4096, "a" * 4097, "\x00"],
}


@given(
    changed=st.fixed_dictionaries({}, optional={name: st.sampled_from(edges) | ODD for name, edges in EDGES.items()}),
    missing=st.sets(st.sampled_from(["message_id", "from", "to", "ts", "text"]), max_size=1),
)
def test_a_glance_at_a_payload_sees_what_the_schema_sees(changed: dict[str, Any], missing: set[str]) -> None:
    content = {name: value for name, value in {**payload(), **changed}.items() if name not in missing}
    errors = _native_payload.validate(content)

    assert _at_a_glance(content) == (None if errors else _native_payload.load(content))


def test_every_wrong_field_is_named_at_once() -> None:
    assert wrong_fields({}) == {"message_id", "from", "to", "ts"}
    assert wrong_fields(payload(message_id="", sender="1", recipient=None, ts=0, text=1)) == {
        "message_id",
        "from",
        "to",
        "ts",
        "text",
    }


@pytest.mark.parametrize("name", ["sender", "recipient", "received_at", "provider", "id", "extra"])
def test_a_name_that_only_the_inside_knows_is_an_unknown_one(name: str) -> None:
    content = {**payload(), name: "x"}

    assert load_native_payload(content)["extra"] == {name: "x"}
    assert load_native_payload(content)["sender" if name != "sender" else "recipient"].startswith("+49")


@pytest.mark.parametrize("message_id", ["a", "a" * 255, "😀" * 255, "a/b//c?d%20#e", " ", "a\nb"])
def test_a_message_id_is_any_text_of_1_to_255_characters(message_id: str) -> None:
    assert load_native_payload(payload(message_id=message_id))["message_id"] == message_id


@pytest.mark.parametrize("message_id", ["", "a" * 256, "a\x00b", None, 1, ["a"], {"a": 1}, True])
def test_other_message_ids_are_refused(message_id: Any) -> None:
    assert wrong_fields(payload(message_id=message_id)) == {"message_id"}


@pytest.mark.parametrize("number", ["+1", "+123456789012345"])
def test_a_phone_number_is_a_plus_and_1_to_15_digits(number: str) -> None:
    assert load_native_payload(payload(sender=number, recipient=number))["sender"] == number


@pytest.mark.parametrize(
    "number",
    ["", "+", "1", "++1", "+1234567890123456", "+1 2", "+1a", "+\u0661", "+1\n", " +1", "+1\x00", "\uff0b1", None, 1],
)
def test_other_phone_numbers_are_refused(number: Any) -> None:
    assert wrong_fields(payload(sender=number, recipient=number)) == {"from", "to"}


@pytest.mark.parametrize("text", [None, "", "a" * 4096, "😀" * 4096, "\r\n\t\x01\x7f", "\ufffd\uffff"])
def test_a_text_is_null_or_at_most_4096_characters(text: str | None) -> None:
    assert load_native_payload(payload(text=text))["text"] == text


@pytest.mark.parametrize("text", ["a" * 4097, "\x00", 1, [], {}, False])
def test_other_texts_are_refused(text: Any) -> None:
    assert wrong_fields(payload(text=text)) == {"text"}


@pytest.mark.parametrize(
    ("written", "meant"),
    [
        ("2025-01-15T10:00:00Z", datetime(2025, 1, 15, 10, tzinfo=UTC)),
        ("2025-01-15t10:00:00z", datetime(2025, 1, 15, 10, tzinfo=UTC)),
        ("2025-01-15 10:00Z", datetime(2025, 1, 15, 10, tzinfo=UTC)),
        ("2025-01-15T10:00:00+05:30", datetime(2025, 1, 15, 4, 30, tzinfo=UTC)),
        ("2025-01-15T10:00:00-0800", datetime(2025, 1, 15, 18, tzinfo=UTC)),
        ("2025-01-15T10:00:00.5Z", datetime(2025, 1, 15, 10, 0, 0, 500_000, tzinfo=UTC)),
        ("2025-01-15T10:00:00,123456789Z", datetime(2025, 1, 15, 10, 0, 0, 123_456, tzinfo=UTC)),
        ("2024-02-29T23:59:59.999999-00:00", datetime(2024, 2, 29, 23, 59, 59, 999_999, tzinfo=UTC)),
        ("0001-01-01T00:00:00Z", datetime(1, 1, 1, tzinfo=UTC)),
        ("9999-12-31T23:59:59.999999Z", datetime(9999, 12, 31, 23, 59, 59, 999_999, tzinfo=UTC)),
    ],
)
def test_a_timestamp_is_read_to_utc(written: str, meant: datetime) -> None:
    assert read_ts(written) == meant
    assert read_ts(written).tzinfo is UTC


@given(MOMENTS, st.integers(-14 * 60, 14 * 60))
def test_a_timestamp_means_the_same_moment_from_any_zone(moment: datetime, offset: int) -> None:
    try:
        local = moment.astimezone(timezone(timedelta(minutes=offset)))
    except OverflowError:
        return

    assert read_ts(local.isoformat()) == moment


@pytest.mark.parametrize(
    "written",
    [
        *(
            "",
            "2025-01-15",
            "2025-01-15T10:00:00",
            "10:00:00Z",
            "2025-01-15T10Z",
            "20250115T100000Z",
            "2025-W03-3T10:00Z",
        ),
        *("2025-02-29T10:00:00Z", "2025-13-01T10:00:00Z", "2025-01-15T10:60:00Z", "2025-01-15T10:00:60Z"),
        *("2025-01-15T25:00:00Z", "2025-01-15T10:00:00+24:00", "2025-01-15T10:00:00 Z", "2025-01-15T10:00:00Z\n"),
        *(
            "\u0662025-01-15T10:00:00Z",
            "2025-01-15T10:00:00.Z",
            "2025-01-15T10:00:00UTC",
            "+2025-01-15T10:00:00Z",
            "1736935200",
        ),
        *("0001-01-01T00:00:00+00:01", "9999-12-31T23:59:59-00:01", "0000-01-01T00:00:00Z"),
        *(1736935200, 1736935200.0, None, True, ["2025-01-15T10:00:00Z"]),
    ],
)
def test_other_timestamps_are_refused(written: Any) -> None:
    assert wrong_fields(payload(ts=written)) == {"ts"}


@given(MOMENTS)
def test_a_timestamp_is_answered_so_that_it_reads_back_the_same(moment: datetime) -> None:
    written = format_timestamp(moment)

    assert written.endswith("Z")
    assert read_ts(written) == moment


@given(MOMENTS)
def test_json_has_a_time_as_it_is_written_anywhere_else(moment: datetime) -> None:
    assert encode_json({"ts": moment}) == b'{"ts":"%b"}\n' % format_timestamp(moment).encode()


@given(st.lists(MOMENTS))
def test_many_timestamps_are_written_as_one_is(moments: list[datetime]) -> None:
    assert format_timestamps(moments) == [format_timestamp(moment) for moment in moments]


def test_a_query_may_be_empty() -> None:
    query = load_message_query(b"")

    assert (query.limit, query.offset, query.order) == (50, 0, Order.ASC)
    assert query.filter == load_message_query(b"from=&to=&provider=&since=&until=&q=").filter
    assert query.filter == MessageFilter()


def test_a_raw_plus_is_a_plus_in_numbers_and_times() -> None:
    wanted = load_message_query(
        b"from=+4915&to=+4930&since=2025-01-15T10:00:00+02:00&until=2025-01-15T10:00:00.5+02:00"
    ).filter

    assert (wanted.sender, wanted.recipient) == ("+4915", "+4930")
    assert wanted.since == datetime(2025, 1, 15, 8, tzinfo=UTC)
    assert wanted.until == datetime(2025, 1, 15, 8, 0, 0, 500_000, tzinfo=UTC)


def test_an_encoded_plus_is_a_plus_everywhere() -> None:
    wanted = load_message_query(b"from=%2B4915&q=1%2B1").filter

    assert (wanted.sender, wanted.q) == ("+4915", "1+1")


def test_a_raw_plus_is_a_space_in_a_search() -> None:
    assert load_message_query(b"q=good+morning").filter.q == "good morning"


@pytest.mark.parametrize("query", [b"from=%2B1&to=%2B3&from=%2B2", b"from=%2B1&from=%2B1", b"from=&%66rom=%2B1"])
def test_a_parameter_that_is_given_twice_is_refused(query: bytes) -> None:
    with pytest.raises(QueryInvalid) as refused:
        load_message_query(query)

    assert refused.value.problems == {"from": ["Given more than once."]}


@pytest.mark.parametrize(
    ("query", "name"),
    [
        *(
            (b"limit=" + value, "limit")
            for value in (b"0", b"101", b"-1", b"", b"a", b"1.0", b"1e1", b"+1", b"0x1", b"1_0")
        ),
        *(
            (b"limit=" + value, "limit")
            for value in ("\u0661".encode(), b"%D9%A1", b"1%00", b"1%0A", b"9" * 5000, b"%201")
        ),
        *((b"offset=" + value, "offset") for value in (b"-1", b"", b"a", b"9223372036854775808", b"9" * 19)),
        *((b"order=" + value, "order") for value in (b"", b"ASC", b"up", b"asc%00")),
        *((b"since=" + value, "since") for value in (b"0", b"yesterday", b"2025-01-15", b"2025-01-15T10:00:00")),
        *((b"until=" + value, "until") for value in (b"0", b"%00", b"2025-01-15T10:00:00%2B24:00")),
        *((name.encode() + b"=%00", name) for name in ("from", "to", "provider", "q")),
        *((name.encode() + b"=%FF", name) for name in ("from", "limit", "q")),
        (b"q=\xff", "q"),
        (b"q=" + b"a" * 1001, "q"),
        (b"%FF=1", "%FF"),
        (b"\xff=1", "query"),
    ],
)
def test_a_bad_parameter_is_named(query: bytes, name: str) -> None:
    assert wrong_parameters(query) == {name}


def test_all_bad_parameters_are_named_at_once() -> None:
    assert wrong_parameters(b"limit=0&offset=-1&order=up&since=0") == {"limit", "offset", "order", "since"}


@given(st.binary())
def test_any_query_string_is_read_or_refused(query: bytes) -> None:
    try:
        read = load_message_query(query)
    except QueryInvalid:
        return
    assert 1 <= read.limit <= 100


@pytest.mark.parametrize("extra", [None, {"a": [1]}])
def test_a_message_is_shown_whole(extra: dict[str, Any] | None) -> None:
    moment = datetime(2025, 1, 15, 10, 0, 0, 120_000, tzinfo=UTC)
    stored = None if extra is None else orjson.dumps(extra).decode()
    message = StoredMessage(
        id=7,
        message_id="m1",
        sender="+1",
        recipient="+2",
        ts=moment,
        text="Hi",
        provider="native",
        type="text",
        received_at=moment.replace(microsecond=0),
        extra=stored,
        source="shop",
    )

    presented = orjson.loads(encode_json(present_message(message)))

    assert presented.pop("extra", None) == extra
    assert presented == {
        "message_id": "m1",
        "from": "+1",
        "to": "+2",
        "ts": "2025-01-15T10:00:00.120000Z",
        "text": "Hi",
        "source": "shop",
        "provider": "native",
        "type": "text",
        "received_at": "2025-01-15T10:00:00Z",
    }
