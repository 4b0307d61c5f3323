"""Finds out by reading alone whether there is anything for a consumer, so that asking in vain costs no transaction."""

from dataclasses import dataclass
from datetime import datetime

from webhook_service.domain.consumers import Consumer
from webhook_service.storage.queries.consumers import count_up_to
from webhook_service.storage.queries.messages import end_of_window
from webhook_service.storage.queries.stretches import read_unavailable_and_free
from webhook_service.storage.writing import Transaction

WINDOWS = 10  # windows of the feed that are searched for a message that passes a filter
WORTH_NOTING = 1_000  # ids that a filter passes over; fewer are not written down, but looked at again the next time


@dataclass(frozen=True, slots=True)
class Availability:
    """Tells whether a lease is worth trying for a consumer.

    ``skipped_up_to`` is the id up to which nothing passes the consumer's filter, if that is worth noting.
    """

    is_worth_leasing: bool
    skipped_up_to: int | None = None


def check_for_messages(snapshot: Transaction, consumer: Consumer, newest: int, now: datetime) -> Availability:
    """Checks, by reading alone, whether there may be something to give to a consumer.

    ``newest`` is the id of the newest message that a program may be given.
    """
    unavailable, free = read_unavailable_and_free(snapshot, consumer, now)
    if any(stretch.given_at > now for stretch in unavailable):  # the clock was set back
        return Availability(is_worth_leasing=True)
    if len(unavailable) >= consumer.options.max_leases:
        return Availability(is_worth_leasing=False)
    if free is not None:
        return Availability(is_worth_leasing=True)
    if not consumer.options.filter.conditions():
        return Availability(is_worth_leasing=newest > consumer.given_up_to)
    return _look_ahead(snapshot, consumer, newest)


def _look_ahead(snapshot: Transaction, consumer: Consumer, newest: int) -> Availability:
    """Looks for a message that passes the filter in the next ``WINDOWS`` windows of the feed."""
    skipped_up_to = consumer.given_up_to
    for _ in range(WINDOWS):
        if skipped_up_to >= newest:
            break
        end = end_of_window(snapshot, skipped_up_to)
        number, first = count_up_to(snapshot, consumer.options.filter, skipped_up_to, end, 1)
        if number:
            return Availability(is_worth_leasing=True, skipped_up_to=_worth_noting(consumer, first - 1))
        skipped_up_to = end
    noted = _worth_noting(consumer, skipped_up_to)
    return Availability(is_worth_leasing=noted is not None, skipped_up_to=noted)


def _worth_noting(consumer: Consumer, skipped_up_to: int) -> int | None:
    return skipped_up_to if skipped_up_to - consumer.given_up_to >= WORTH_NOTING else None
