"""What an item may hold in its columns."""

from datetime import UTC, datetime

import pytest

from webhook_service.providers.fields import FieldInvalid, long_text, phone_number, short_text, unix_time


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ("1739321024", datetime(2025, 2, 12, 0, 43, 44, tzinfo=UTC)),
        (1739321024, datetime(2025, 2, 12, 0, 43, 44, tzinfo=UTC)),
        ("0", datetime(1970, 1, 1, tzinfo=UTC)),
        ("253402300799", datetime(9999, 12, 31, 23, 59, 59, tzinfo=UTC)),
    ],
)
def test_seconds_are_read_as_utc(value: object, expected: datetime) -> None:
    assert unix_time(value, "ts") == expected


@pytest.mark.parametrize(
    "value",
    ["253402300800", 253402300800, "9" * 13, "-1", -1, "", " 1", "1.0", 1.0, True, None, "\u0661", "\u00b2", [1]],
)
def test_anything_else_is_no_time(value: object) -> None:
    with pytest.raises(FieldInvalid, match="ts"):
        unix_time(value, "ts")


@pytest.mark.parametrize(
    ("address", "expected"),
    [
        ("15550783881", "+15550783881"),
        ("+1 (555) 078-3881", "+15550783881"),
        ("US.13491208655302741918", "US.13491208655302741918"),
        ("EXAMPLECO", "EXAMPLECO"),
        ("\u0661\u0662", "\u0661\u0662"),
        ("++1", "++1"),
        ("-", "-"),
    ],
)
def test_a_number_has_one_form_and_any_other_address_stays_as_it_is(address: str, expected: str) -> None:
    assert phone_number(address) == expected


@pytest.mark.parametrize("value", ["", "x" * 256, "a\x00", 1, None, ["x"], {}])
def test_a_short_text_is_of_bounded_length_and_without_nul(value: object) -> None:
    assert short_text("x" * 255, "id", 255) == "x" * 255
    with pytest.raises(FieldInvalid, match="id"):
        short_text(value, "id", 255)


@pytest.mark.parametrize("value", ["a\x00", 1, None, ["x"], {}])
def test_a_long_text_is_of_any_length_and_without_nul(value: object) -> None:
    assert long_text("x" * 1_000_000, "text") == "x" * 1_000_000
    assert long_text("", "text") == ""
    with pytest.raises(FieldInvalid, match="text"):
        long_text(value, "text")
