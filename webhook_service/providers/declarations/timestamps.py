"""The claimed time of a signature, and the window around ours in which it is believed."""

import re
from dataclasses import dataclass
from datetime import datetime

from webhook_service.domain.errors import SignatureInvalid
from webhook_service.domain.formats import parse_timestamp
from webhook_service.domain.results import Reason
from webhook_service.providers.declarations.places import Envelope, Place, read_place
from webhook_service.providers.declarations.tables import DeclarationTable
from webhook_service.providers.signatures import header_bytes

TOLERANCE = 300  # seconds, unless the table says otherwise
TOLERANCE_MAX = 7 * 86_400
_DIGITS = re.compile(r"[0-9]{1,16}")
UNITS = ("s", "ms", "iso")


@dataclass(frozen=True, slots=True)
class Timestamp:
    """The place and unit of the claimed time, and the seconds by which it may differ from ours, either way."""

    place: Place
    unit: str
    tolerance: int

    def read(self, envelope: Envelope) -> int:
        """Returns the claimed time in seconds since 1970; keeps its text for the template. Raises SignatureInvalid."""
        values = self.place.values(envelope, Reason.MISSING_TIMESTAMP)
        if len(values) != 1:
            raise SignatureInvalid(Reason.MALFORMED_TIMESTAMP)
        text = values[0]
        envelope.timestamp = header_bytes(text)
        if self.unit == "iso":
            try:
                return int(parse_timestamp(text).timestamp())
            except ValueError:
                raise SignatureInvalid(Reason.MALFORMED_TIMESTAMP) from None
        if not _DIGITS.fullmatch(text):
            raise SignatureInvalid(Reason.MALFORMED_TIMESTAMP)
        return int(text) // 1000 if self.unit == "ms" else int(text)

    def check(self, claimed: int, received_at: datetime) -> None:
        """Raises SignatureInvalid for a time outside the window.

        It has to be called when all else is right: then 'stale' means a replay or a wrong clock, and nothing else.
        """
        if abs(skew(claimed, received_at)) > self.tolerance:
            raise SignatureInvalid(Reason.STALE_TIMESTAMP)

    def write(self, moment: datetime) -> str:
        """Writes a time as the sender does."""
        if self.unit == "iso":
            return moment.strftime("%Y-%m-%dT%H:%M:%SZ")
        return str(int(moment.timestamp() * 1000) if self.unit == "ms" else int(moment.timestamp()))


def skew(claimed: int, received_at: datetime) -> int:
    """Returns the seconds by which the sender's clock is ahead of ours."""
    return claimed - int(received_at.timestamp())


def read_timestamp(table: DeclarationTable) -> Timestamp:
    """Reads the place, the unit and the tolerance of the claimed time."""
    unit = table.take_choice("unit", UNITS)
    tolerance = table.take_integer("tolerance", 1, TOLERANCE_MAX)
    return Timestamp(read_place(table), unit or "s", tolerance or TOLERANCE)
