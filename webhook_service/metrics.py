"""Every metric of the service, declared and described once, summed over all workers.

Workers share their values through files in ``PROMETHEUS_MULTIPROC_DIR``, which ``gunicorn.conf.py`` sets; without it
the values are this process's own. Multiprocess mode: https://prometheus.github.io/client_python/multiprocess/
"""

import time
from functools import cache

from flask import Flask, Response, g, request
from prometheus_client import CollectorRegistry, Counter, Histogram
from prometheus_flask_exporter import PrometheusMetrics

from webhook_service.domain import Result

METRICS_PATH = "/metrics"

# A scanner's thousand paths and made-up methods must not become a thousand series.
UNMATCHED = "unmatched"
_METHODS = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"})
_OTHER_METHOD = "other"

_BUCKETS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0)


class Metrics:
    """The metrics of one application, exposed at ``/metrics``."""

    def __init__(self, app: Flask) -> None:
        registry = CollectorRegistry()
        self._requests = Counter(
            "http_requests_total", "HTTP requests answered.", ["method", "path", "status"], registry=registry
        )
        self._duration = Histogram(
            "http_request_duration_seconds",
            "Time from a request's dispatch to its answer.",
            ["method", "path"],
            buckets=_BUCKETS,
            registry=registry,
        )
        self._deliveries = Counter(
            "webhook_requests_total", "Deliveries, by what became of them.", ["provider", "result"], registry=registry
        )
        PrometheusMetrics(app, path=METRICS_PATH, export_defaults=False, registry=registry)
        app.after_request(self._observe)

    def _observe(self, response: Response) -> Response:
        current, notes = request._get_current_object(), g._get_current_object()  # type: ignore[attr-defined]  # noqa: SLF001
        method = current.method if current.method in _METHODS else _OTHER_METHOD
        path = current.url_rule.rule if current.url_rule else UNMATCHED
        requests, duration = self._request_series(method, path, response.status_code)
        requests.inc()
        duration.observe(time.perf_counter() - notes.started)
        if "verdict" in notes:
            self._delivery_series(notes.verdict.provider, notes.verdict.result).inc()
        return response

    @cache  # noqa: B019  # lives as long as the application, and holds no more than there are series
    def _request_series(self, method: str, path: str, status: int) -> tuple[Counter, Histogram]:
        return self._requests.labels(method, path, status), self._duration.labels(method, path)

    @cache  # noqa: B019  # likewise
    def _delivery_series(self, provider: str, result: Result) -> Counter:
        return self._deliveries.labels(provider, result.value)
