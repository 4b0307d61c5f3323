"""The metrics of consumers, read at each scrape, so that a deleted consumer is no longer among them."""

from collections.abc import Iterable, Iterator

from prometheus_client.metrics_core import GaugeMetricFamily, Metric

from webhook_service.domain.consumers import ConsumerReport


def consumer_metrics(reports: Iterable[ConsumerReport]) -> Iterator[Metric]:
    """Yields the metrics, each with one sample for each consumer."""
    labels = ["consumer"]
    messages = GaugeMetricFamily(
        "consumer_lag_messages", "Messages that are not acknowledged, up to 10,000.", labels=labels
    )
    seconds = GaugeMetricFamily("consumer_lag_seconds", "Age of the oldest of them.", labels=labels)
    dead = GaugeMetricFamily("consumer_dead_letters", "Messages that could not be taken.", labels=labels)
    for report in reports:
        name = [report.consumer.name]
        messages.add_metric(name, report.lag.messages)
        seconds.add_metric(name, report.lag.seconds)
        dead.add_metric(name, report.dead_letters)
    yield from (messages, seconds, dead)
