"""Parameters of every read, right and wrong, word by word."""

import pytest
from werkzeug.test import Client

from tests.blueprints.contract_clients import ON_SQLITE, served
from tests.support.app import deliver
from tests.support.deliveries import payload

sqlite_client = pytest.fixture(params=ON_SQLITE, ids="-".join)(served)


def test_bad_parameters_are_422_naming_them(sqlite_client: Client) -> None:
    response = sqlite_client.get("/messages?limit=101&since=yesterday")

    assert response.status_code == 422
    assert response.json == {
        "detail": "invalid query parameters",
        "errors": {
            "limit": ["Must be greater than or equal to 1 and less than or equal to 100."],
            "since": ["Not an ISO 8601 timestamp with a time zone."],
        },
    }


@pytest.mark.parametrize(
    ("path", "advice"),
    [
        ("/messages?form=%2B1", {"form": ["Unknown parameter. Did you mean 'from'?"]}),
        ("/export?form=%2B1", {"form": ["Unknown parameter. Did you mean 'from'?"]}),
        ("/messages?LIMIT=1", {"LIMIT": ["Unknown parameter. Did you mean 'limit'?"]}),
        ("/receipts?mesage_id=a", {"mesage_id": ["Unknown parameter. Did you mean 'message_id'?"]}),
        ("/feed?cursor=*", {"cursor": ["Unknown parameter. Known ones: after, limit, since, source, wait."]}),
        ("/quarantine?=1", {"": ["Unknown parameter. Known ones: cursor, limit, reason, source."]}),
        ("/stats/timeline?intervall=hour", {"intervall": ["Unknown parameter. Did you mean 'interval'?"]}),
        ("/stats?since=2025-01-15T10:00:00Z", {"since": ["Unknown parameter: there are none here."]}),
        ("/messages/a?limit=1", {"limit": ["Unknown parameter: there are none here."]}),
        ("/quarantine/1?body=1", {"body": ["Unknown parameter: there are none here."]}),
    ],
)
def test_an_unknown_parameter_of_a_read_is_422_naming_the_nearest(
    path: str, advice: dict[str, list[str]], sqlite_client: Client
) -> None:
    response = sqlite_client.get(path)

    assert response.status_code == 422
    assert response.json == {"detail": "invalid query parameters", "errors": advice}


def test_unknown_and_bad_parameters_are_reported_together(sqlite_client: Client) -> None:
    response = sqlite_client.get("/messages?form=%2B1&limit=0")

    assert list(response.json["errors"]) == ["limit", "form"]  # type: ignore[index]


def test_of_many_unknown_parameters_a_few_are_reported(sqlite_client: Client) -> None:
    response = sqlite_client.get("/messages?" + "&".join(f"a{number}" for number in range(500)))

    assert len(response.json["errors"]) == 10  # type: ignore[index]


@pytest.mark.parametrize("path", ["/health/live", "/health/ready", "/metrics"])
def test_health_and_metrics_take_any_parameter(path: str, sqlite_client: Client) -> None:
    assert sqlite_client.get(f"{path}?anything=1").status_code == 200


def test_a_delivery_takes_any_parameter(sqlite_client: Client) -> None:
    assert deliver(sqlite_client, payload(), "/webhook?anything=1").status_code == 200


@pytest.mark.parametrize(
    "path", ["/messages", "/receipts", "/quarantine", "/feed", "/export", "/stats", "/stats/timeline"]
)
def test_a_slash_at_the_end_of_a_list_changes_nothing(path: str, sqlite_client: Client) -> None:
    deliver(sqlite_client, payload())
    query = "?since=2025-01-15T00:00:00Z&until=2025-01-16T00:00:00Z" if path == "/stats/timeline" else ""

    with_slash, without = sqlite_client.get(f"{path}/{query}"), sqlite_client.get(path + query)

    assert (with_slash.status_code, with_slash.data) == (200, without.data)
