"""The metrics that are read anew at each scrape, from the database and the operating system, instead of counted."""

import os
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from math import inf
from typing import Any

from prometheus_client import CollectorRegistry, PlatformCollector
from prometheus_client.exposition import choose_encoder
from prometheus_client.metrics_core import GaugeMetricFamily, HistogramMetricFamily, Metric
from prometheus_client.multiprocess import MultiProcessCollector
from prometheus_client.registry import Collector
from prometheus_flask_exporter import PrometheusMetrics

from webhook_service.domain.consumers import ConsumerReport
from webhook_service.domain.destinations import DestinationReport
from webhook_service.domain.errors import StorageUnavailable
from webhook_service.domain.quarantine import QuarantineSize
from webhook_service.domain.statistics import Age, Space
from webhook_service.web.consumer_metrics import consumer_metrics
from webhook_service.web.destination_metrics import destination_metrics
from webhook_service.web.processes import ServerProcesses

DURATION = "http_request_duration_seconds"
MULTIPROCESS_SETTING = "PROMETHEUS_MULTIPROC_DIR"


@dataclass(frozen=True, slots=True)
class StorageReadings:
    """Functions that read the state of the storage; each raises StorageUnavailable when the database is away.

    ``replica`` is None when there is no replica to read from.
    """

    quarantine: Callable[[], Mapping[str, QuarantineSize]]
    quarantine_max_bytes: int
    space: Callable[[], Space]
    consumers: Callable[[], Iterable[ConsumerReport]]
    destinations: Callable[[], Iterable[DestinationReport]]
    replica: Callable[[], Age] | None


class StorageMetrics(Collector):
    """Collects the state of the storage. Metrics that can't be read have no samples; the others are still shown."""

    def __init__(self, readings: StorageReadings, providers: Mapping[str, str]) -> None:
        self._readings = readings
        self._providers = providers

    def collect(self) -> Iterator[Metric]:
        """Reads the state."""
        with suppress(StorageUnavailable):
            yield from self._quarantine(self._readings.quarantine())
        yield GaugeMetricFamily(
            "quarantine_max_bytes",
            "Bytes that one source's deliveries in quarantine may take.",
            self._readings.quarantine_max_bytes,
        )
        with suppress(StorageUnavailable):
            yield from _space(self._readings.space())
        with suppress(StorageUnavailable):
            yield from consumer_metrics(self._readings.consumers())
        with suppress(StorageUnavailable):
            yield from destination_metrics(self._readings.destinations())
        if self._readings.replica:
            yield from _replica(self._readings.replica)

    def _quarantine(self, sizes: Mapping[str, QuarantineSize]) -> Iterator[Metric]:
        labels = ("source", "provider")
        deliveries = GaugeMetricFamily("quarantine_deliveries", "Deliveries in quarantine.", labels=labels)
        in_bytes = GaugeMetricFamily("quarantine_bytes", "Bytes that the deliveries in quarantine take.", labels=labels)
        for source in sorted({*self._providers, *sizes}):
            size = sizes.get(source, QuarantineSize(0, 0))
            named = (source, self._providers.get(source, source))
            deliveries.add_metric(named, size.deliveries)
            in_bytes.add_metric(named, size.bytes)
        yield deliveries
        yield in_bytes


def _space(space: Space) -> Iterator[Metric]:
    yield GaugeMetricFamily("storage_bytes", "Bytes that the database takes.", space.used)
    if space.free is not None:
        yield GaugeMetricFamily("storage_free_bytes", "Bytes that are free on the disk of the database.", space.free)


def _replica(read_age: Callable[[], Age]) -> Iterator[Metric]:
    age = None
    with suppress(StorageUnavailable):
        age = read_age()
    yield GaugeMetricFamily("replica_up", "1 if the replica can be read, else 0.", float(age is not None))
    if age is not None and age.seconds is not None:
        yield GaugeMetricFamily("replica_lag_seconds", "Seconds that the replica may be behind.", age.seconds)


class Exposition(PrometheusMetrics):  # type: ignore[misc]  # the library has no types
    """The endpoint that shows the metrics of a registry, summed over all workers, and those that are read anew."""

    def __init__(self, *arguments: Any, read_anew: Collection[Collector], **options: Any) -> None:
        self._read_anew = (*read_anew, PlatformCollector(registry=None), ServerProcesses(os.getpid()))
        super().__init__(*arguments, **options)

    def generate_metrics(self, accept_header: str | None = None, names: list[str] | None = None) -> tuple[str, str]:
        """Returns all metrics, or only those in ``names``, as text, with its content type."""
        counted: Collector = self.registry
        if MULTIPROCESS_SETTING in os.environ:
            counted = MultiProcessCollector(None)  # type: ignore[no-untyped-call]
        registry = CollectorRegistry()
        registry.register(_WithMilliseconds(counted))
        for collector in self._read_anew:
            registry.register(collector)
        encode, content_type = choose_encoder(accept_header or "")
        return encode(registry.restricted_registry(names) if names else registry).decode(), content_type


class _WithMilliseconds(Collector):
    """Collects what another collector does, and the histogram of durations again in the FastAPI original's form."""

    def __init__(self, counted: Collector) -> None:
        self._counted = counted

    def collect(self) -> Iterator[Metric]:
        """Adds ``request_latency_ms``, over all paths, to the metrics."""
        for metric in self._counted.collect():
            yield metric
            if metric.name == DURATION:
                yield _in_milliseconds(metric)


def _in_milliseconds(durations: Metric) -> Metric:
    buckets = {inf: 0.0}
    seconds = 0.0
    for sample in durations.samples:
        if sample.name.endswith("_bucket"):
            bound = float(sample.labels["le"])
            buckets[bound] = buckets.get(bound, 0.0) + sample.value
        elif sample.name.endswith("_sum"):
            seconds += sample.value
    bounds = [("+Inf" if bound == inf else f"{bound * 1000:g}", buckets[bound]) for bound in sorted(buckets)]
    return HistogramMetricFamily(
        "request_latency_ms", "Milliseconds from a request's arrival to its answer.", bounds, seconds * 1000
    )
