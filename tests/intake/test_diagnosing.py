"""Diagnosing refused deliveries, which costs little however many there are."""

from threading import Event
from time import monotonic, thread_time
from typing import cast

from tests.support.provider_deliveries import delivery_of
from tests.support.waiting import wait_until
from webhook_service.domain.deliveries import Delivery
from webhook_service.domain.errors import SignatureInvalid
from webhook_service.domain.results import Reason
from webhook_service.domain.verdicts import Verdict
from webhook_service.intake.diagnosing import Diagnosing
from webhook_service.providers.base import Provider
from webhook_service.providers.source import Source

PROCESSOR_SECONDS = 0.01


class Laborious:
    """A provider whose diagnoses take long."""

    name = "laborious"

    def __init__(self) -> None:
        self.seen = 0
        self.may_end = Event()

    def diagnose(self, _delivery: Delivery) -> None:
        """Works for a while, once it may."""
        assert self.may_end.wait(60)
        begun = thread_time()
        while thread_time() < begun + PROCESSOR_SECONDS:
            pass
        self.seen += 1


def test_of_many_refused_deliveries_few_are_diagnosed_and_none_waits() -> None:
    provider = Laborious()
    source = Source(provider.name, cast("Provider", provider))
    diagnosing = Diagnosing({source.name: source}, lambda *_hint: None)
    refused = Verdict.refused(source.name, provider.name, SignatureInvalid(Reason.WRONG_SIGNATURE))
    read = 0

    def delivery() -> Delivery:
        nonlocal read
        read += 1
        return Delivery(provider.name, b"", {}, "/", delivery_of(b"", {}).received_at)

    begun = monotonic()
    for _ in range(1000):
        diagnosing.consider(refused, delivery, "id")
    took = monotonic() - begun
    provider.may_end.set()
    wait_until(lambda: provider.seen == 1, "the diagnosis")
    for _ in range(1000):
        diagnosing.consider(refused, delivery, "id")

    assert (provider.seen, read) == (1, 1)
    assert took < 5
