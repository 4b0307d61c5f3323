"""JSON that no two readers can disagree about."""

import json
import math
from typing import Any, NoReturn

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.support.provider_deliveries import delivery_of
from webhook_service.domain.errors import PayloadInvalid, SignatureInvalid
from webhook_service.domain.results import Reason
from webhook_service.providers import strict_json
from webhook_service.providers.declarations.places import Envelope
from webhook_service.providers.diagnosis import Hint, body_guesses
from webhook_service.providers.json_faults import MAX_DEPTH, MOST_SEARCHED
from webhook_service.providers.strict_json import loads, loads_object

INT64 = st.integers(-(2**63), 2**63 - 1)
CHARACTERS = st.characters(exclude_categories=["Cs"])
JSON = st.recursive(
    st.none() | st.booleans() | INT64 | st.floats(allow_nan=False, allow_infinity=False) | st.text(CHARACTERS),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(CHARACTERS), inner),
)


def refusal(raw: bytes) -> Reason:
    with pytest.raises(PayloadInvalid) as refused:
        loads(raw)
    return refused.value.reason


@given(JSON, st.booleans())
def test_what_json_can_say_is_read_as_it_was_meant(value: Any, escaped: bool) -> None:
    assert loads(json.dumps(value, ensure_ascii=escaped).encode()) == value


@given(st.binary())
def test_any_bytes_are_read_or_refused(raw: bytes) -> None:
    try:
        value = loads(raw)
    except PayloadInvalid:
        return
    assert value == json.loads(raw)


@pytest.mark.parametrize(
    "raw",
    [
        pytest.param(b"", id="nothing"),
        pytest.param(b"{", id="cut off"),
        pytest.param(b"{} {}", id="two texts"),
        pytest.param(b"{'a': 1}", id="single quotes"),
        pytest.param(b"[1,]", id="a trailing comma"),
        pytest.param(b"// a\n{}", id="a comment"),
        pytest.param(b"\xef\xbb\xbf{}", id="a byte order mark"),
        pytest.param(b'{"a": 1, "a": 2}', id="a name twice"),
        pytest.param(b'{"a": 1, "\\u0061": 2}', id="a name twice, once escaped"),
        pytest.param(b'{"o": {"a": 1, "a": 1}}', id="a name twice further in"),
        pytest.param(b"NaN", id="NaN"),
        pytest.param(b"[-Infinity]", id="infinity"),
        pytest.param(b"1e400", id="a float that no double holds"),
        pytest.param(b"9223372036854775808", id="an integer beyond 64 bits"),
        pytest.param(b"-9223372036854775809", id="a negative integer beyond 64 bits"),
        pytest.param(b"9" * 5000, id="an integer of 5000 digits"),
        pytest.param(b"01", id="a leading zero"),
        pytest.param(b'"\\ud800"', id="a lone surrogate"),
        pytest.param(b'{"\\udfff": 1}', id="a lone surrogate in a name"),
        pytest.param(b'"\x00"', id="a raw NUL"),
        pytest.param(b'"a\nb"', id="a raw line feed"),
        pytest.param("{\u00a0}".encode(), id="a space that is none"),
    ],
)
def test_what_readers_disagree_about_is_not_json(raw: bytes) -> None:
    assert refusal(raw) is Reason.NOT_JSON


@pytest.mark.parametrize(
    ("raw", "why"),
    [
        (b'{"a": 1, "b": {"c": 1, "c": 2}}', "the name 'c' stands twice in one object, at line 1, column 24"),
        (b'{"\\u0000": 1, "\\u0000": 2}', "the name of a field stands twice in one object, at line 1, column 15"),
        (
            b'{"%s": 1, "%s": 2}' % (b"a" * 65, b"a" * 65),
            "the name of a field stands twice in one object, at line 1, column 74",
        ),
        (b'{"a": NaN}', "NaN is not a number, at line 1, column 7"),
        (b'[\n{"a": "NaN, \\"}"}, NaN]', "NaN is not a number, at line 2, column 20"),
        (b"[-Infinity]", "-Infinity is not a number, at line 1, column 2"),
        (b"1e400", "the number 1e400 is too large for 64 bits, at line 1, column 1"),
        (b"9223372036854775808", "the integer 9223372036854775808 is too large for 64 bits, at line 1, column 1"),
        (
            b"[922337203685477580800auto",
            "the integer 92233720368547758080… is too large for 64 bits, at line 1, column 2",
        ),
        (b"9" * 5000, f"the integer {'9' * 20}… is too large for 64 bits, at line 1, column 1"),
        (b"[" * 65 + b"1" + b"]" * 65, "nested more than 64 levels deep, at line 1, column 65"),
        (b"[" * 10_000, "nested more than 64 levels deep, at line 1, column 65"),
        (b'{"a":\n"\\ud83d\\ude00", "b": "\\ud800"}', "an escaped surrogate stands alone, at line 2, column 22"),
        (b'{\n  "a": 1,\n  b: 2}', "Expecting property name enclosed in double quotes at line 3, column 3"),
        (b'"a\nb"', "Invalid control character at line 1, column 3"),
    ],
)
def test_a_refusal_says_why_and_where(raw: bytes, why: str) -> None:
    with pytest.raises(PayloadInvalid) as refused:
        loads(raw)

    assert refused.value.problems == {"body": [f"Not valid JSON: {why}."]}


def test_a_long_body_is_not_searched_for_the_place_of_a_fault() -> None:
    with pytest.raises(PayloadInvalid) as refused:
        loads(b"[" + b"1," * MOST_SEARCHED + b"NaN]")

    assert refused.value.problems == {"body": ["Not valid JSON: NaN is not a number."]}


@pytest.mark.parametrize("raw", [b'{"a": NaN}', b"[" * 100_000])
def test_an_unverified_body_is_not_searched_either(raw: bytes, monkeypatch: pytest.MonkeyPatch) -> None:
    def search(fault: str, _text: str) -> NoReturn:
        pytest.fail(f"searched for {fault}")

    monkeypatch.setattr(strict_json, "place_of", search)

    with pytest.raises(SignatureInvalid):
        _ = Envelope(delivery_of(raw, {}), is_form=False).body
    assert Hint.RESERIALIZED_BODY not in {hint for hint, _, _ in body_guesses([b"key"], raw, lambda body: body)}


def test_a_refusal_of_bytes_says_which_one() -> None:
    with pytest.raises(PayloadInvalid) as refused:
        loads(b'"\xc3\xa4\xff"')

    assert refused.value.problems == {"body": ["Not valid UTF-8: byte 4 is wrong."]}


@pytest.mark.parametrize("raw", [b"\xff", b'"\xc3"', b'"\xed\xa0\x80"', "{}".encode("utf-16"), '"ä"'.encode("latin-1")])
def test_another_encoding_than_utf_8_is_refused(raw: bytes) -> None:
    assert refusal(raw) is Reason.NOT_UTF8


@pytest.mark.parametrize(("opening", "closing"), [("[", "]"), ('{"a":', "}")])
def test_nesting_has_a_limit(opening: str, closing: str) -> None:
    assert loads((opening * MAX_DEPTH + "1" + closing * MAX_DEPTH).encode())
    assert refusal((opening * (MAX_DEPTH + 1) + "1" + closing * (MAX_DEPTH + 1)).encode()) is Reason.NOT_JSON


@pytest.mark.parametrize("depth", [900, 1000, 20_000, 1_000_000])
@pytest.mark.parametrize(("opening", "closing"), [("[", "]"), ('{"a":', "}")])
def test_nesting_without_end_is_refused(depth: int, opening: str, closing: str) -> None:
    nested = (opening * depth + "1" + closing * depth).encode()

    assert refusal(nested) is Reason.NOT_JSON
    assert refusal(opening.encode() * depth) is Reason.NOT_JSON


def test_brackets_in_a_text_are_no_nesting() -> None:
    brackets = '"[{' * 5000

    assert loads(json.dumps([brackets, brackets]).encode()) == [brackets, brackets]


def test_many_small_objects_are_no_nesting() -> None:
    objects = [{"a": [index]} for index in range(5000)]

    assert loads(json.dumps(objects).encode()) == objects


def test_surrogates_in_pairs_are_one_character() -> None:
    assert loads(b'"\\ud83d\\ude00"') == "😀"


def test_the_ends_of_64_bits_are_exact() -> None:
    assert loads(b"[9223372036854775807, -9223372036854775808]") == [2**63 - 1, -(2**63)]


def test_a_minus_zero_is_a_number() -> None:
    assert math.copysign(1, loads(b"-0.0")) == -1


@pytest.mark.parametrize("raw", [b"[]", b"null", b"1", b'"{}"', b"true"])
def test_a_body_that_is_no_object_is_refused(raw: bytes) -> None:
    with pytest.raises(PayloadInvalid) as refused:
        loads_object(raw)

    assert refused.value.reason is Reason.NOT_AN_OBJECT
