"""Every metric of the service, declared and described once, summed over all workers.

Workers share their values through files in ``PROMETHEUS_MULTIPROC_DIR``, which ``gunicorn.conf.py`` sets; without it
the values are this process's own. Multiprocess mode: https://prometheus.github.io/client_python/multiprocess/
"""

from collections.abc import Callable, Mapping
from contextlib import suppress
from functools import cache, partial, wraps
from typing import Any

from flask import Flask, Response
from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram
from prometheus_flask_exporter import PrometheusMetrics

from webhook_service.domain.errors import StorageUnavailable
from webhook_service.domain.quarantine import QuarantineSize
from webhook_service.domain.results import Outcome
from webhook_service.domain.verdicts import Verdict
from webhook_service.web.context import current_request
from webhook_service.web.lines import STDOUT

METRICS_PATH = "/metrics"
METRICS_ENDPOINT = "prometheus_metrics"  # as prometheus-flask-exporter names it

SIGNATURES_HELP = "Valid signatures, by secret: once 'previous' stands still, the previous secret can go."
ReadSizes = Callable[[], Mapping[str, QuarantineSize]]

_SOURCE = ("source", "provider")
_BUCKETS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0)


class Metrics:
    """The metrics of one application, exposed at ``/metrics``.

    ``providers`` has the provider of each source. ``read_quarantine_sizes`` reads how much is in quarantine by source;
    it is asked at each scrape.
    """

    def __init__(self, app: Flask, *, providers: Mapping[str, str], read_quarantine_sizes: ReadSizes) -> None:
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
        self._deliveries = counter("webhook_requests_total", "Deliveries, by result.", [*_SOURCE, "result"])
        self._items = counter(
            "webhook_items_total",
            "Items of accepted deliveries, by outcome.",
            [*_SOURCE, "kind", "outcome"],
        )
        self._refusals = counter(
            "webhook_refusals_total",
            "Deliveries refused or not understood, by reason.",
            [*_SOURCE, "reason"],
        )
        self._signatures = counter("webhook_signatures_total", SIGNATURES_HELP, [*_SOURCE, "secret"])
        gauge = partial(Gauge, labelnames=_SOURCE, registry=registry, multiprocess_mode="mostrecent")
        self._quarantined = gauge("quarantine_deliveries", "Deliveries in quarantine.")
        self._quarantined_bytes = gauge("quarantine_bytes", "Bytes that the deliveries in quarantine take.")
        STDOUT.on_drop = counter("log_lines_dropped_total", "Lines of the log that nobody read in time.").inc
        self._providers = providers
        self._read_quarantine_sizes = read_quarantine_sizes
        PrometheusMetrics(
            app,
            path=METRICS_PATH,
            export_defaults=False,
            registry=registry,
            metrics_decorator=self._refresh_quarantine_gauge,
        )
        app.after_request(self._observe)

    def _refresh_quarantine_gauge(self, expose: Callable[..., Any]) -> Callable[..., Any]:
        @wraps(expose)
        def refresh_and_expose() -> Any:
            with suppress(StorageUnavailable):  # what the other metrics say is wanted most when the database is away
                sizes = self._read_quarantine_sizes()
                for source in {*self._providers, *sizes}:
                    size = sizes.get(source, QuarantineSize(0, 0))
                    self._quarantined.labels(source, self._providers.get(source, source)).set(size.deliveries)
                    self._quarantined_bytes.labels(source, self._providers.get(source, source)).set(size.bytes)
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
        source = (verdict.source, verdict.provider)
        self._series(self._deliveries, *source, verdict.result).inc()
        if verdict.secret is not None:
            self._series(self._signatures, *source, verdict.secret).inc()
        if verdict.reason is not None:
            self._series(self._refusals, *source, verdict.reason).inc()
        for kind, outcomes in (("message", verdict.outcomes.messages), ("receipt", verdict.outcomes.receipts)):
            for outcome in Outcome:
                if outcome in outcomes:
                    self._series(self._items, *source, kind, outcome).inc(outcomes.count(outcome))

    @cache  # noqa: B019  # lives as long as the application, and holds no more than there are series
    def _request_series(self, method: str, path: str, status: int) -> tuple[Counter, Histogram]:
        return self._requests.labels(method, path, status), self._duration.labels(method, path)

    @cache  # noqa: B019  # likewise
    def _series(self, counter: Counter, *labels: str) -> Counter:
        return counter.labels(*labels)
