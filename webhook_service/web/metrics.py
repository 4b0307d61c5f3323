"""Every metric of the service, declared and described once, summed over all workers.

Workers share their values through files in ``PROMETHEUS_MULTIPROC_DIR``, which ``gunicorn.conf.py`` sets; without it
the values are this process's own. Multiprocess mode: https://prometheus.github.io/client_python/multiprocess/
"""

import os
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import suppress
from functools import cache, partial, wraps
from typing import Any, NamedTuple

from flask import Flask, Response
from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram
from prometheus_client.exposition import choose_encoder
from prometheus_client.metrics_core import GaugeMetricFamily, Metric
from prometheus_client.multiprocess import MultiProcessCollector
from prometheus_client.registry import Collector
from prometheus_flask_exporter import PrometheusMetrics

from webhook_service.domain.consumers import Lag
from webhook_service.domain.errors import StorageUnavailable
from webhook_service.domain.quarantine import QuarantineSize
from webhook_service.domain.results import Outcome
from webhook_service.domain.verdicts import Verdict
from webhook_service.web.context import current_request
from webhook_service.web.lines import STDOUT

METRICS_PATH = "/metrics"
METRICS_ENDPOINT = "prometheus_metrics"  # as prometheus-flask-exporter names it

SIGNATURES_HELP = "Valid signatures, by secret: once 'previous' stands still, the previous secret can go."
_BUCKETS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0)


class ConsumerFigures(NamedTuple):
    """What the metrics say of a consumer or destination."""

    kind: str
    name: str
    lag: Lag
    dead_letters: int


class Metrics:
    """The metrics of one application, exposed at ``/metrics``.

    ``read_quarantine_sizes`` reads how much is in quarantine by provider, and ``read_consumers`` how far each consumer
    is behind; both are asked at each scrape.
    """

    def __init__(
        self,
        app: Flask,
        *,
        providers: Iterable[str],
        read_quarantine_sizes: Callable[[], Mapping[str, QuarantineSize]],
        read_consumers: Callable[[], Iterable[ConsumerFigures]],
    ) -> None:
        registry = CollectorRegistry()
        counter = partial(Counter, registry=registry)
        self._requests = counter("http_requests_total", "HTTP requests answered.", ["method", "path", "status"])
        self._duration = Histogram(
            "http_request_duration_seconds",
            "Time from a request's arrival to its answer.",
            ["method", "path"],
            buckets=_BUCKETS,
            registry=registry,
        )
        self._deliveries = counter("webhook_requests_total", "Deliveries, by result.", ["provider", "result"])
        items = "Items of accepted deliveries, by outcome."
        self._items = counter("webhook_items_total", items, ["provider", "kind", "outcome"])
        self._refusals = counter(
            "webhook_refusals_total", "Deliveries refused or not understood, by reason.", ["provider", "reason"]
        )
        self._signatures = counter("webhook_signatures_total", SIGNATURES_HELP, ["provider", "secret"])
        gauge = partial(Gauge, labelnames=["provider"], registry=registry, multiprocess_mode="mostrecent")
        self._quarantined = gauge("quarantine_deliveries", "Deliveries in quarantine.")
        self._quarantined_bytes = gauge("quarantine_bytes", "Bytes that the deliveries in quarantine take.")
        self._providers = tuple(providers)
        STDOUT.on_drop = counter("log_lines_dropped_total", "Lines of the log that nobody read in time.").inc
        self._read_quarantine_sizes = read_quarantine_sizes
        _Exposed(
            app,
            path=METRICS_PATH,
            export_defaults=False,
            registry=registry,
            metrics_decorator=self._refresh_quarantine_gauge,
            collectors=[_Consumers(read_consumers)],
        )
        app.after_request(self._observe)

    def _refresh_quarantine_gauge(self, expose: Callable[..., Any]) -> Callable[..., Any]:
        @wraps(expose)
        def refresh_and_expose() -> Any:
            with suppress(StorageUnavailable):  # what the other metrics say is wanted most when the database is away
                sizes = self._read_quarantine_sizes()
                for provider in {*self._providers, *sizes}:
                    size = sizes.get(provider, QuarantineSize(0, 0))
                    self._quarantined.labels(provider).set(size.deliveries)
                    self._quarantined_bytes.labels(provider).set(size.bytes)
            return expose()

        return refresh_and_expose

    def _observe(self, response: Response) -> Response:
        request = current_request()
        requests, duration = self._request_series(request.known_method(), request.rule(), response.status_code)
        requests.inc()
        duration.observe(request.seconds())
        if request.verdict is not None:
            self._count_delivery(request.verdict)
        return response

    def _count_delivery(self, verdict: Verdict) -> None:
        provider = verdict.provider
        self._series(self._deliveries, provider, verdict.result).inc()
        if verdict.secret is not None:
            self._series(self._signatures, provider, verdict.secret).inc()
        if verdict.reason is not None:
            self._series(self._refusals, provider, verdict.reason).inc()
        for kind, outcomes in (("message", verdict.outcomes.messages), ("receipt", verdict.outcomes.receipts)):
            for outcome in Outcome:
                if outcome in outcomes:
                    self._series(self._items, provider, kind, outcome).inc(outcomes.count(outcome))

    @cache  # noqa: B019  # lives as long as the application, and holds no more than there are series
    def _request_series(self, method: str, path: str, status: int) -> tuple[Counter, Histogram]:
        return self._requests.labels(method, path, status), self._duration.labels(method, path)

    @cache  # noqa: B019  # likewise
    def _series(self, counter: Counter, *labels: str) -> Counter:
        return counter.labels(*labels)


class _Consumers(Collector):
    """How far consumers are behind, as it is now: a consumer that is deleted is no longer named."""

    def __init__(self, read: Callable[[], Iterable[ConsumerFigures]]) -> None:
        self._read = read

    def collect(self) -> Iterator[Metric]:
        """Reads the figures; none while the database is away."""
        labels = ["kind", "consumer"]
        messages = GaugeMetricFamily(
            "consumer_lag_messages", "Messages that are not acknowledged, up to 10,000.", labels=labels
        )
        seconds = GaugeMetricFamily("consumer_lag_seconds", "Age of the oldest of them.", labels=labels)
        dead = GaugeMetricFamily("consumer_dead_letters", "Messages that could not be taken.", labels=labels)
        with suppress(StorageUnavailable):
            for figures in self._read():
                names = [figures.kind, figures.name]
                messages.add_metric(names, figures.lag.messages)
                seconds.add_metric(names, figures.lag.seconds)
                dead.add_metric(names, figures.dead_letters)
        yield from (messages, seconds, dead)


class _Exposed(PrometheusMetrics):  # type: ignore[misc]  # the exporter has no types
    """The metrics of all workers, with those that are read when they are asked for."""

    def __init__(self, *args: Any, collectors: Iterable[Collector], **kwargs: Any) -> None:
        self._collectors = tuple(collectors)
        super().__init__(*args, **kwargs)

    def generate_metrics(self, accept_header: str | None = None, names: list[str] | None = None) -> tuple[str, str]:
        """Writes all metrics, or those with these names, and says in which format."""
        whole = CollectorRegistry()
        if "PROMETHEUS_MULTIPROC_DIR" in os.environ:
            MultiProcessCollector(whole)  # type: ignore[no-untyped-call]  # the library's
        else:
            whole.register(self.registry)
        for collector in self._collectors:
            whole.register(collector)
        encode, content_type = choose_encoder(accept_header or "")
        written = encode(whole.restricted_registry(names) if names else whole)
        return written.decode(), content_type
