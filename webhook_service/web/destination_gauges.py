"""What is measured of destinations: read from the database at each scrape, since forwarders are other processes."""

from collections.abc import Iterable

from prometheus_client import CollectorRegistry, Gauge

from webhook_service.domain.destinations import DestinationState, DestinationStatus


class DestinationGauges:
    """One series of each for a destination."""

    def __init__(self, registry: CollectorRegistry) -> None:
        def gauge(name: str, description: str) -> Gauge:
            return Gauge(name, description, ["destination"], registry=registry, multiprocess_mode="mostrecent")

        self._pushed = gauge("destination_messages_pushed", "Messages that a destination took, since it is known.")
        self._failed = gauge("destination_pushes_failed", "Pushes that failed, since the destination is known.")
        self._retries = gauge("destination_retries_waiting", "Messages that wait for another attempt.")
        self._dead = gauge("destination_dead_letters", "Messages that a destination did not take.")
        self._paused = gauge("destination_paused", "1 while a destination is paused or disabled.")
        self._lag = gauge("destination_lag_messages", "Messages that were not pushed yet, up to 10,000.")
        self._lag_seconds = gauge("destination_lag_seconds", "Seconds since the oldest of them was received.")

    def set(self, statuses: Iterable[DestinationStatus]) -> None:
        """Sets all series to how the destinations are doing."""
        for status in statuses:
            standing, lag = status.standing, status.lag
            self._pushed.labels(status.name).set(standing.pushed)
            self._failed.labels(status.name).set(standing.failed)
            self._retries.labels(status.name).set(status.retries)
            self._dead.labels(status.name).set(status.dead_letters)
            self._paused.labels(status.name).set(standing.state is not DestinationState.ACTIVE)
            self._lag.labels(status.name).set(lag.messages if lag else 0)
            self._lag_seconds.labels(status.name).set(lag.seconds if lag else 0)
