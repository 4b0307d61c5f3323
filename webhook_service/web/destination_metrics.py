"""The metrics of destinations, read from the database at each scrape, since forwarders are other processes."""

from collections.abc import Iterable, Iterator

from prometheus_client.metrics_core import CounterMetricFamily, GaugeMetricFamily, Metric

from webhook_service.domain.destinations import DestinationReport, DestinationState

_COUNTERS = {
    "destination_messages_pushed": "Messages that a destination took, since it is known.",
    "destination_pushes_failed": "Pushes that failed, since the destination is known.",
}
_GAUGES = {
    "destination_retries_waiting": "Messages that wait for another attempt.",
    "destination_dead_letters": "Messages that a destination did not take.",
    "destination_paused": "1 while a destination is paused or disabled.",
    "destination_lag_messages": "Messages that were not pushed yet, up to 10,000.",
    "destination_lag_seconds": "Seconds since the oldest of them was received.",
}


def destination_metrics(reports: Iterable[DestinationReport]) -> Iterator[Metric]:
    """Yields the metrics, each with one sample for each destination."""
    families: dict[str, CounterMetricFamily | GaugeMetricFamily] = {
        **{name: CounterMetricFamily(name, text, labels=["destination"]) for name, text in _COUNTERS.items()},
        **{name: GaugeMetricFamily(name, text, labels=["destination"]) for name, text in _GAUGES.items()},
    }
    for report in reports:
        for name, value in _values(report).items():
            families[name].add_metric([report.name], value)
    yield from families.values()


def _values(report: DestinationReport) -> dict[str, float]:
    health, lag = report.health, report.lag
    return {
        "destination_messages_pushed": health.pushed,
        "destination_pushes_failed": health.failed,
        "destination_retries_waiting": report.retries,
        "destination_dead_letters": report.dead_letters,
        "destination_paused": health.state is not DestinationState.ACTIVE,
        "destination_lag_messages": lag.messages if lag else 0,
        "destination_lag_seconds": lag.seconds if lag else 0,
    }
