"""From a delivery to a verdict: verify, parse, store, and keep in quarantine what was not understood."""

import logging
import traceback
from itertools import chain

from webhook_service.domain import (
    Contents,
    Delivery,
    Message,
    Outcome,
    Outcomes,
    PayloadInvalid,
    Quarantined,
    QuarantineEntry,
    Reason,
    Receipt,
    Result,
    SignatureInvalid,
    StorageUnavailable,
    Verdict,
)
from webhook_service.inbox import Inbox
from webhook_service.providers.base import Provider

_log = logging.getLogger(__name__)


def take_in(provider: Provider, delivery: Delivery, inbox: Inbox) -> Verdict:
    """Takes a delivery in. What is wrong with it, or with us, stands in the verdict; nothing is raised for it."""
    try:
        secret = provider.verify(delivery)
    except SignatureInvalid as refusal:
        return Verdict(provider.name, refusal.result, refusal.reason, refusal, hint=provider.diagnose(delivery))
    try:
        contents, failure = _understand(provider, delivery)
        outcomes, failure = _store(provider, delivery, contents, failure, inbox)
    except StorageUnavailable as refusal:
        return Verdict(provider.name, refusal.result, refusal.reason, refusal, secret=secret)
    first = next(chain[Message | Receipt](contents.messages, contents.receipts), None)
    return Verdict(
        provider=provider.name,
        result=_result(outcomes, failure),
        reason=failure.reason if failure else None,
        refusal=None if provider.accepts_unreadable else failure,
        secret=secret,
        message_id=first.message_id if first else None,
        outcomes=outcomes,
        quarantined=failure is not None,
    )


def replay(provider: Provider, entry: QuarantineEntry, inbox: Inbox) -> tuple[Outcomes, PayloadInvalid | None]:
    """Tries a quarantined delivery again, on the same way as a new one but for its signature, which was verified then.

    What is understood now is stored; the delivery leaves the quarantine in the same transaction when all of it is, and
    else the error that is returned says what is wrong with it. Raises StorageUnavailable.
    """
    kept = entry.delivery
    delivery = Delivery(kept.raw, kept.headers, kept.target, kept.received_at)
    contents, failure = _understand(provider, delivery)
    try:
        return inbox.accept(contents, released=None if failure else entry.id), failure
    except PayloadInvalid as refused:
        return Outcomes(), refused


def _understand(provider: Provider, delivery: Delivery) -> tuple[Contents, PayloadInvalid | None]:
    try:
        contents = provider.parse(delivery)
    except PayloadInvalid as failure:
        return Contents(), failure
    except Exception as bug:
        # A payload that no one foresaw must not be lost to a bug of ours. What an exception says may quote the payload,
        # so only where it was raised is logged.
        where = "".join(traceback.format_tb(bug.__traceback__))
        _log.error(
            "parser failed", extra={"fields": {"provider": provider.name, "error": type(bug).__name__, "where": where}}
        )
        return Contents(), PayloadInvalid(Reason.PARSER_FAILED, {"body": ["The parser failed."]})
    if not contents.unreadable:
        return contents, None
    problems = {item.where: [item.reason.value] for item in contents.unreadable}
    return contents, PayloadInvalid(contents.unreadable[0].reason, problems)


def _store(
    provider: Provider, delivery: Delivery, contents: Contents, failure: PayloadInvalid | None, inbox: Inbox
) -> tuple[Outcomes, PayloadInvalid | None]:
    quarantined = _quarantined(provider, delivery, failure) if failure else None
    try:
        return inbox.accept(contents, quarantined=quarantined), failure
    except PayloadInvalid as refused:
        return inbox.accept(Contents(), quarantined=_quarantined(provider, delivery, refused)), refused


def _quarantined(provider: Provider, delivery: Delivery, failure: PayloadInvalid) -> Quarantined:
    headers = {name: value for name in provider.kept_headers if (value := delivery.headers.get(name)) is not None}
    return Quarantined(
        provider=provider.name,
        raw=delivery.raw,
        headers=headers,
        target=delivery.target,
        reason=failure.reason.value,
        problems=failure.errors,
        received_at=delivery.received_at,
    )


def _result(outcomes: Outcomes, failure: PayloadInvalid | None) -> Result:
    if Outcome.CREATED in outcomes.all():
        return Result.CREATED
    if failure is not None:
        return Result.VALIDATION_ERROR
    return Result.DUPLICATE
