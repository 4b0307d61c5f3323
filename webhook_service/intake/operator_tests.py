"""Test messages, with which the operator tries out the whole path of a delivery; no program is given them.

They are marked by ``is_test``, which is set only here. A word in an ID or a type could be sent by anybody.
"""

from datetime import UTC, datetime
from uuid import uuid4

from webhook_service.domain.deliveries import Delivery
from webhook_service.domain.messages import Message
from webhook_service.domain.verdicts import Verdict
from webhook_service.intake.take_in import Intake
from webhook_service.providers.declared import CannotSign
from webhook_service.providers.source import Source

# Numbers that are reserved for fiction: https://en.wikipedia.org/wiki/555_(telephone_number)
SENDER = "+12025550143"
RECIPIENT = "+12025550100"
TEXT = "Test message from the dashboard"


def can_be_tested(source: Source) -> bool:
    """Tells whether a message can be signed as the source would sign it: some keys only the provider has."""
    try:
        source.sample(_message(source))
    except CannotSign:
        return False
    return True


def send_test_message(intake: Intake, source: Source) -> tuple[str, Verdict]:
    """Signs a message as its source would and takes it in; returns its ID and the verdict on the delivery.

    Raises CannotSign for a source that can't be tested.
    """
    message = _message(source)
    sample = source.sample(message)
    headers = _Headers({name.lower(): value for name, value in sample.headers.items()})
    delivery = Delivery(source.name, sample.body, headers, sample.path, message.received_at, is_test=True)
    (verdict,) = intake.take_in([delivery])
    return verdict.message_id or message.message_id, verdict  # some providers' messages get another ID


def _message(source: Source) -> Message:
    now = datetime.now(UTC)
    return Message(
        message_id=f"test-{uuid4()}",
        provider=source.provider.name,
        sender=SENDER,
        recipient=RECIPIENT,
        ts=now.replace(microsecond=0),
        received_at=now,
        text=TEXT,
    )


class _Headers:
    """The headers of a sample; a name is looked up whatever its case."""

    def __init__(self, by_lower_name: dict[str, str]) -> None:
        self._by_lower_name = by_lower_name

    def get(self, name: str, /) -> str | None:
        """Returns the value of a header; None when it is not there."""
        return self._by_lower_name.get(name.lower())
