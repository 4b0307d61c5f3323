"""The metrics of requests and deliveries, declared and described once, summed over all workers.

Workers share their values through files in ``PROMETHEUS_MULTIPROC_DIR``, which ``gunicorn.conf.py`` sets; without it
the values are those of this process. Multiprocess mode: https://prometheus.github.io/client_python/multiprocess/
"""

import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from functools import cache, partial

from flask import Flask, Response
from prometheus_client import CollectorRegistry, Counter, Histogram

from webhook_service.domain.results import Outcome, Result
from webhook_service.domain.verdicts import Verdict
from webhook_service.web.context import current_request
from webhook_service.web.scrapes import DURATION, Exposition, StorageMetrics, StorageReadings
from webhook_service.web.stdout import STDOUT

METRICS_PATH = "/metrics"
METRICS_ENDPOINT = "prometheus_metrics"  # prometheus-flask-exporter's own name

SIGNATURES_HELP = "Valid signatures, by secret: once 'previous' stands still, the previous secret can go."
_SOURCE = ("source", "provider")
_KINDS = ("message", "receipt")
_BUCKETS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0)

_adding_up = threading.local()


@contextmanager
def counts_added_up() -> Iterator[None]:
    """Adds up what this thread counts within the block, and counts it at its end: a count costs a lock and a write."""
    _adding_up.counts = counts = dict[Counter, int]()
    try:
        yield
    finally:
        _adding_up.counts = None
        for series, number in counts.items():
            series.inc(number)


def _count(series: Counter, number: int = 1) -> None:
    counts: dict[Counter, int] | None = getattr(_adding_up, "counts", None)
    if counts is None:
        series.inc(number)
    else:
        counts[series] = counts.get(series, 0) + number


class Metrics:
    """The metrics of one application, exposed at ``/metrics``.

    ``providers`` has the provider of each source. ``readings`` are called at each scrape, to read the state of the
    storage.
    """

    def __init__(self, app: Flask, *, providers: Mapping[str, str], readings: StorageReadings) -> None:
        registry = CollectorRegistry()
        counter = partial(Counter, registry=registry)
        self._requests = counter("http_requests_total", "HTTP requests answered.", ["method", "path", "status"])
        self._duration = Histogram(
            DURATION,
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
        STDOUT.on_drop = counter("log_lines_dropped_total", "Lines of the log that nobody read in time.").inc
        for source in providers.items():
            self._start_at_zero(source)
        Exposition(
            app,
            path=METRICS_PATH,
            export_defaults=False,
            registry=registry,
            read_anew=[StorageMetrics(readings, providers)],
        )
        app.after_request(self._observe)

    def _start_at_zero(self, source: tuple[str, str]) -> None:
        """Shows what has not happened yet as 0, since Prometheus sees no increase in a series that begins at 1."""
        for result in Result:
            self._series(self._deliveries, *source, result)
        for kind in _KINDS:
            for outcome in Outcome:
                self._series(self._items, *source, kind, outcome)

    def _observe(self, response: Response) -> Response:
        request = current_request()
        requests, duration = self._request_series(request.known_method(), request.rule(), response.status_code)
        _count(requests)
        duration.observe(request.seconds())
        if request.verdict is not None:
            self._count_delivery(request.verdict)
        return response

    def _count_delivery(self, verdict: Verdict) -> None:
        source = (verdict.source, verdict.provider)
        _count(self._series(self._deliveries, *source, verdict.result))
        if verdict.secret is not None:
            _count(self._series(self._signatures, *source, verdict.secret))
        if verdict.reason is not None:
            _count(self._series(self._refusals, *source, verdict.reason))
        for kind, outcomes in zip(_KINDS, (verdict.outcomes.messages, verdict.outcomes.receipts), strict=True):
            for outcome in set(outcomes):
                _count(self._series(self._items, *source, kind, outcome), outcomes.count(outcome))

    @cache  # noqa: B019  # it lives as long as the application, and has one entry for each series
    def _request_series(self, method: str, path: str, status: int) -> tuple[Counter, Histogram]:
        return self._requests.labels(method, path, status), self._duration.labels(method, path)

    @cache  # noqa: B019  # likewise
    def _series(self, counter: Counter, *labels: str) -> Counter:
        return counter.labels(*labels)
