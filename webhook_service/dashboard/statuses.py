"""The status of an outgoing message, from receipts that may arrive in any order."""

from collections.abc import Iterable

from webhook_service.domain.receipts import StoredReceipt

# The stages of a message at WhatsApp and Twilio: https://developers.facebook.com/docs/whatsapp/cloud-api/webhooks,
# https://www.twilio.com/docs/messaging/guides/outbound-message-status-in-status-callbacks. A failure outranks the
# stages before it, and a delivery outranks a failure, since it proves that there was none.
_WAYS = (
    ("accepted", "scheduled", "queued"),
    ("sending",),
    ("sent",),
    ("failed", "undelivered", "canceled"),
    ("delivered",),
    ("read", "played"),
)
_RANKS = {status: rank for rank, statuses in enumerate(_WAYS, 1) for status in statuses}
FAILED_STATUSES = frozenset(_WAYS[3])


def statuses_by_recipient(receipts: Iterable[StoredReceipt]) -> dict[str, StoredReceipt]:
    """Finds the receipt with the current status for each recipient: a late ``sent`` never hides ``delivered``.

    Unknown statuses rank lowest; of equal ranks, the latest by the provider's time counts.
    """
    current: dict[str, StoredReceipt] = {}
    for receipt in receipts:
        known = current.get(receipt.recipient)
        if known is None or _order(receipt) > _order(known):
            current[receipt.recipient] = receipt
    return current


def _order(receipt: StoredReceipt) -> tuple[int, object, int]:
    return _RANKS.get(receipt.status, 0), receipt.ts, receipt.id
