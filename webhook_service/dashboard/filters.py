"""The filters of the list of messages, as its form sends them."""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field

from webhook_service.domain.messages import MessageQuery, Order
from webhook_service.schemas.messages import FIRST_CURSOR, load_message_parameters
from webhook_service.schemas.query import QueryInvalid, read_query_string

NAMES = ("source", "provider", "type", "from", "to", "since", "until", "q")
TIMES = frozenset({"since", "until"})
PLACE = "cursor"
OPENED = "message"

_WITHOUT_ZONE = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d(:\d\d(\.\d{1,3})?)?")


@dataclass(frozen=True, slots=True)
class Filters:
    """The query string of the list, read for a page.

    ``given`` are the filters as the form shows them again, ``opened`` is the ID of the message beside the list,
    ``place`` is the cursor of a page that is not the first.
    ``query`` is None when a filter is bad; ``problems`` says what is wrong, by parameter.
    """

    given: Mapping[str, str]
    query: MessageQuery | None
    opened: str | None
    problems: Mapping[str, list[str]] = field(default_factory=dict)
    place: str | None = None


def load_filters(query_string: bytes) -> Filters:
    """Loads a query string; the result reports bad parameters. QueryInvalid when it is not UTF-8."""
    parameters = read_query_string(query_string)
    # What is pasted often has spaces around it; what is stored hardly ever has.
    given = {name: value for name in NAMES if (value := parameters.get(name, "").strip())}
    opened = parameters.get(OPENED) or None
    if opened is not None and "\x00" in opened:  # PostgreSQL refuses a parameter with NUL
        return Filters(given, None, None, {OPENED: ["Must not contain NUL."]})
    place = parameters.get(PLACE, FIRST_CURSOR)
    try:
        query = load_message_parameters({**with_zones(given), "order": Order.DESC.value, PLACE: place})
    except QueryInvalid as invalid:
        return Filters(given, None, opened, invalid.problems)
    return Filters(given, query, opened, place=parameters.get(PLACE))


def with_zones(given: Mapping[str, str]) -> dict[str, str]:
    """Returns parameters with the zone of UTC added to times that have none."""
    return {name: _in_utc(value) if name in TIMES else value for name, value in given.items()}


def _in_utc(moment: str) -> str:
    """Adds the zone, which browsers' fields for times leave out; the page says that its times are UTC."""
    return moment + "Z" if _WITHOUT_ZONE.fullmatch(moment) else moment
