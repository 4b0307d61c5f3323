"""Finds out by reading alone whether there is anything for a consumer, so that asking in vain costs no transaction."""

from dataclasses import dataclass
from datetime import datetime

from webhook_service.domain.consumers import Consumer
from webhook_service.storage.queries.consumers import measure_ids
from webhook_service.storage.queries.messages import end_of_window, newest_for_programs
from webhook_service.storage.queries.stretches import find_free, list_held
from webhook_service.storage.writing import Transaction

WINDOWS = 10  # windows of the feed that are searched for a message that passes a filter
WORTH_NOTING = 1_000  # ids that a filter passes over; fewer are not written down, but looked at again the next time


@dataclass(frozen=True, slots=True)
class Outlook:
    """The prospect of giving a consumer something: whether to try.

    ``passed_over`` is the id up to which nothing passes the consumer's filter, if that is worth noting.
    """

    is_worth_a_try: bool
    passed_over: int | None = None


def look(snapshot: Transaction, consumer: Consumer, now: datetime) -> Outlook:
    """Returns the outlook for a consumer."""
    held = list_held(snapshot, consumer, now)
    if any(stretch.given_at > now for stretch in held):  # the clock was set back
        return Outlook(is_worth_a_try=True)
    if len(held) >= consumer.options.max_leases:
        return Outlook(is_worth_a_try=False)
    if find_free(snapshot, consumer, now) is not None:
        return Outlook(is_worth_a_try=True)
    newest = newest_for_programs(snapshot)
    if not consumer.options.filter.conditions():
        return Outlook(is_worth_a_try=newest > consumer.handed)
    return _look_ahead(snapshot, consumer, newest)


def _look_ahead(snapshot: Transaction, consumer: Consumer, newest: int) -> Outlook:
    """Looks for a message that passes the filter in the next ``WINDOWS`` windows of the feed."""
    passed_over = consumer.handed
    for _ in range(WINDOWS):
        if passed_over >= newest:
            break
        end = end_of_window(snapshot, passed_over)
        number, first = measure_ids(snapshot, consumer.options.filter, passed_over, end, 1)
        if number:
            return Outlook(is_worth_a_try=True, passed_over=_worth_noting(consumer, first - 1))
        passed_over = end
    noted = _worth_noting(consumer, passed_over)
    return Outlook(is_worth_a_try=noted is not None, passed_over=noted)


def _worth_noting(consumer: Consumer, passed_over: int) -> int | None:
    return passed_over if passed_over - consumer.handed >= WORTH_NOTING else None
