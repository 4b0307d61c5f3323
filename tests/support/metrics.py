"""Reads the metrics at a server's ``/metrics`` as numbers."""

from prometheus_client.parser import text_string_to_metric_families

from tests.support.server import Server

Labels = frozenset[tuple[str, str]]


def samples(server: Server, name: str) -> dict[Labels, float]:
    """Returns the values of all series of this name, by their labels."""
    exposition = server.get("/metrics", {"Connection": "close"})
    assert exposition.status == 200
    return {
        frozenset(sample.labels.items()): sample.value
        for family in text_string_to_metric_families(exposition.data.decode())
        for sample in family.samples
        if sample.name == name
    }


def value(server: Server, name: str, **labels: str) -> float:
    """Returns the sum of the series that have these labels; 0 when there is none yet."""
    return sum(value for found, value in samples(server, name).items() if found >= frozenset(labels.items()))
