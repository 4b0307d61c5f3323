"""Consumers over HTTP: made, given messages, moved, and told what they could not take."""

from typing import Any

import pytest
from flask.testing import FlaskClient
from werkzeug.test import TestResponse

from tests.support.consumers import store
from webhook_service.domain.consumers import ConsumerKind, ConsumerOptions, Death
from webhook_service.domain.limits import CONSUMERS_MAX
from webhook_service.outlet.consumers import Consumers
from webhook_service.storage.clock import read_now
from webhook_service.storage.database import Database
from webhook_service.storage.queries.consumers import find_consumer
from webhook_service.storage.queries.dead_letters import add_dead_letters


def lease(client: FlaskClient, query: str = "", name: str = "crm") -> TestResponse:
    return client.post(f"/consumers/{name}/lease{query}")


def names(answer: TestResponse) -> list[str]:
    assert answer.status_code == 200
    return [each["message_id"] for each in answer.get_json()["data"]]


def call(client: FlaskClient, action: str, **body: Any) -> TestResponse:
    return client.post(f"/consumers/crm/{action}", json=body)


@pytest.fixture
def crm(client: FlaskClient) -> FlaskClient:
    assert client.put("/consumers/crm").status_code == 201
    return client


@pytest.fixture
def crm_in_memory(sqlite_client: FlaskClient) -> FlaskClient:
    assert sqlite_client.put("/consumers/crm").status_code == 201
    return sqlite_client


def test_a_consumer_takes_messages_and_acknowledges_them(crm: FlaskClient, database: Database) -> None:
    store(database, "m1", "m2", "m3")

    first = lease(crm, "?limit=2&seconds=60")
    assert call(crm, "ack", lease=first.get_json()["lease"]).status_code == 204
    second = lease(crm)
    assert call(crm, "ack", lease=second.get_json()["lease"]).status_code == 204

    assert (names(first), names(second), first.get_json()["attempt"]) == (["m1", "m2"], ["m3"], 1)
    assert lease(crm).status_code == 204


def test_a_message_looks_as_everywhere(crm: FlaskClient, database: Database) -> None:
    store(database, "m1")

    (given,) = lease(crm).get_json()["data"]

    assert given == crm.get("/messages").get_json()["data"][0]


def test_refused_messages_come_again(crm: FlaskClient, database: Database) -> None:
    store(database, "m1")

    assert call(crm, "nack", lease=lease(crm).get_json()["lease"], reason="away").status_code == 204

    assert lease(crm).get_json()["attempt"] == 2


def test_a_lease_can_be_extended_and_ends_once(crm: FlaskClient, database: Database) -> None:
    store(database, "m1")
    given = lease(crm, "?seconds=1").get_json()

    extended = call(crm, "extend", lease=given["lease"], seconds=600)
    assert extended.status_code == 200
    assert extended.get_json()["expires_at"] > given["expires_at"]
    assert call(crm, "ack", lease=given["lease"]).status_code == 204

    for action in ("ack", "nack", "extend"):
        ended = call(crm, action, lease=given["lease"])
        assert (ended.status_code, ended.get_json()["detail"]) == (409, "the lease has ended")


def test_a_consumer_tells_how_it_is_doing(crm: FlaskClient, database: Database) -> None:
    store(database, "m1", "m2", "m3")
    call(crm, "ack", lease=lease(crm, "?limit=1").get_json()["lease"])
    lease(crm, "?limit=1")

    told = crm.get("/consumers/crm").get_json()

    assert (told["lag"]["messages"], told["lag"]["is_exact"], told["leases"], told["dead_letters"]) == (2, True, 1, 0)
    assert names(crm.get(f"/feed?after={told['place']}")) == ["m2", "m3"]
    (listed,) = crm.get("/consumers").get_json()["data"]
    assert listed.pop("lag")["messages"] == told.pop("lag")["messages"]
    assert listed == told


def test_a_consumer_is_changed_where_it_is(crm: FlaskClient, database: Database) -> None:
    store(database, "m1", "m2")
    call(crm, "ack", lease=lease(crm, "?limit=1").get_json()["lease"])
    wanted = {"from": "+1", "to": "+2", "provider": "native", "type": "text"}

    changed = crm.put("/consumers/crm", json={"max_leases": 3, "max_attempts": 9, "filter": wanted})

    assert changed.status_code == 200
    assert changed.get_json() | {"max_leases": 3, "max_attempts": 9, "filter": wanted} == changed.get_json()
    assert lease(crm).status_code == 204


@pytest.mark.parametrize(
    ("start", "expected"),
    [
        ({"to": "beginning"}, ["m1", "m2", "m3"]),
        ({"to": "now"}, []),
        ({"message_id": "m3"}, ["m3"]),
        ({"since": "2025-01-15T10:00:00Z"}, ["m1", "m2", "m3"]),
        ({"since": "2025-01-15T10:00:00.000001Z"}, []),
    ],
)
def test_a_consumer_begins_and_is_moved_where_it_is_told(
    start: dict[str, str], expected: list[str], client: FlaskClient, database: Database
) -> None:
    store(database, "m1", "m2", "m3")
    assert client.put("/consumers/new", json={"start": start}).status_code == 201
    client.put("/consumers/crm", json={"start": {"to": "now"}})
    assert call(client, "seek", **start).status_code == 200

    for name in ("new", "crm"):
        given = lease(client, name=name)
        assert (names(given) if expected else given.status_code) == (expected or 204)


def test_a_deleted_consumer_is_gone(crm: FlaskClient) -> None:
    assert crm.delete("/consumers/crm").status_code == 204

    for answer in (
        crm.get("/consumers/crm"),
        crm.delete("/consumers/crm"),
        lease(crm),
        call(crm, "ack", lease="a"),
        call(crm, "seek", to="now"),
    ):
        assert answer.status_code == 404


@pytest.mark.parametrize("name", ["CRM", "-a", "a b", "ä", "a" * 65, "a.b", "a%00"])
def test_a_name_that_no_consumer_may_have_is_refused(name: str, sqlite_client: FlaskClient) -> None:
    answer = sqlite_client.put(f"/consumers/{name}")

    assert answer.status_code == 422
    assert "name" in answer.get_json()["errors"]


@pytest.mark.parametrize("path", ["/consumers/%00", "/destinations/%00", "/dead-letters/%00"])
def test_a_name_that_none_can_have_is_unknown(path: str, client: FlaskClient) -> None:
    lease = {"lease": "a"}
    answers = [
        client.get(path),
        client.delete(path),
        client.post(f"{path}/lease"),
        client.post(f"{path}/ack", json=lease),
        client.post(f"{path}/nack", json=lease),
        client.post(f"{path}/extend", json=lease),
        client.post(f"{path}/seek", json={"to": "now"}),
        client.post(f"{path}/resume"),
        client.post(f"{path}/retry"),
    ]

    assert {answer.status_code for answer in answers} <= {404, 405}


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ("{", "body"),
        ("[]", "body"),
        ('{"max_leases":0}', "max_leases"),
        ('{"max_leases":101}', "max_leases"),
        ('{"max_leases":true}', "max_leases"),
        ('{"max_leases":"2"}', "max_leases"),
        ('{"max_lease":2}', "max_lease"),
        ('{"filter":{"sender":"+1"}}', "filter.sender"),
        ('{"filter":{"from":1}}', "filter.from"),
        ('{"filter":{"from":"\\u0000"}}', "filter.from"),
        ('{"filter":7}', "filter._schema"),
        ('{"start":{}}', "start.to"),
        ('{"start":{"to":"now","message_id":"m1"}}', "start.to"),
        ('{"start":{"to":"later"}}', "start.to"),
        ('{"start":{"since":"yesterday"}}', "start.since"),
        ('{"start":{"message_id":"nobody"}}', "message_id"),
    ],
)
def test_a_consumer_that_makes_no_sense_is_refused(body: str, field: str, sqlite_client: FlaskClient) -> None:
    answer = sqlite_client.put("/consumers/crm", data=body)

    assert answer.status_code == 422
    assert field in answer.get_json()["errors"]
    assert sqlite_client.get("/consumers/crm").status_code == 404


@pytest.mark.parametrize(
    "query", ["limit=0", "limit=1001", "limit=x", "seconds=0", "seconds=43201", "wait=26", "wait=-1", "lim=1"]
)
def test_a_lease_that_makes_no_sense_is_refused(query: str, crm_in_memory: FlaskClient) -> None:
    answer = lease(crm_in_memory, f"?{query}")

    assert answer.status_code == 422
    assert query.partition("=")[0] in answer.get_json()["errors"]


@pytest.mark.parametrize(
    ("action", "body", "field"),
    [
        ("ack", {}, "lease"),
        ("ack", {"lease": ""}, "lease"),
        ("ack", {"lease": "a\0"}, "lease"),
        ("ack", {"lease": "a", "dead": ["m1"]}, "dead"),
        ("ack", {"lease": "a", "dead": {"m1": "x" * 1001}}, "dead.m1.value"),
        ("nack", {"lease": "a", "seconds": -1}, "seconds"),
        ("extend", {"lease": "a", "seconds": 0}, "seconds"),
        ("extend", {"lease": "a", "second": 1}, "second"),
        ("seek", {}, "to"),
    ],
)
def test_a_call_that_makes_no_sense_is_refused(
    action: str, body: dict[str, Any], field: str, crm_in_memory: FlaskClient
) -> None:
    answer = call(crm_in_memory, action, **body)

    assert answer.status_code == 422
    assert field in answer.get_json()["errors"]


def test_there_may_be_only_so_many_consumers(sqlite_client: FlaskClient, sqlite_url: str) -> None:
    for number in range(CONSUMERS_MAX):
        assert sqlite_client.put(f"/consumers/c{number}").status_code == 201

    assert sqlite_client.put("/consumers/more").status_code == 409
    assert sqlite_client.put("/consumers/c0").status_code == 200


def test_dead_letters_are_listed_retried_and_dropped(crm: FlaskClient, database: Database) -> None:
    store(database, "m1", "m2", "m3")
    refused = call(crm, "ack", lease=(token := lease(crm).get_json()["lease"]), dead={"m4": "?"})
    assert (refused.status_code, list(refused.get_json()["errors"])) == (422, ["dead.m4"])
    assert call(crm, "ack", lease=token, dead={"m1": "one", "m2": "two", "m3": "three"}).status_code == 204

    first = crm.get("/dead-letters?consumer=crm&limit=2").get_json()
    second = crm.get(f"/dead-letters?consumer=crm&limit=2&cursor={first['next_cursor']}").get_json()
    one, two, three = first["data"] + second["data"]
    assert [each["reason"] for each in (one, two, three)] == ["one", "two", "three"]
    assert (one["consumer"], one["message"]["message_id"], second["next_cursor"]) == ("crm", "m1", None)

    assert crm.delete(f"/dead-letters/{three['id']}").status_code == 204
    assert crm.delete(f"/dead-letters/{three['id']}").status_code == 404
    assert crm.post(f"/dead-letters/{two['id']}/retry").status_code == 204
    assert crm.post(f"/dead-letters/{two['id']}/retry").status_code == 404
    again = lease(crm)
    assert names(again) == ["m2"]
    call(crm, "ack", lease=again.get_json()["lease"])
    assert crm.post("/dead-letters/retry?consumer=other").get_json() == {"retried": 0}
    assert crm.post("/dead-letters/retry?since=2100-01-01T00:00:00Z").get_json() == {"retried": 0}
    assert crm.post("/dead-letters/retry?consumer=crm").get_json() == {"retried": 1}
    assert names(lease(crm)) == ["m1"]
    assert crm.get("/dead-letters").get_json()["data"] == []


def test_a_destination_has_dead_letters_of_its_own(client: FlaskClient, database: Database) -> None:
    store(database, "m1")
    Consumers(database, ConsumerKind.DESTINATION).put("crm", ConsumerOptions())
    with database.transaction_without_turn() as transaction:
        destination = find_consumer(transaction, ConsumerKind.DESTINATION, "crm", lock=True)
        assert destination is not None
        attempts = [{"status": 500, "answer": "oops"}]
        add_dead_letters(transaction, destination, [Death(1, "500", attempts)], read_now(transaction))

    (told,) = client.get("/dead-letters?destination=crm").get_json()["data"]

    assert (told["destination"], told["attempts"]) == ("crm", attempts)
    assert client.get("/dead-letters?consumer=crm").get_json()["data"] == []
    assert client.get("/dead-letters?consumer=crm&destination=crm").status_code == 422
    assert client.get("/consumers").get_json()["data"] == []


def test_the_metrics_tell_how_far_consumers_are_behind(crm: FlaskClient, database: Database) -> None:
    store(database, "m1", "m2", "m3")
    call(crm, "ack", lease=lease(crm, "?limit=1").get_json()["lease"], dead={"m1": "?"})

    told = crm.get("/metrics").get_data(as_text=True)

    assert 'consumer_lag_messages{consumer="crm"} 2.0' in told
    assert 'consumer_dead_letters{consumer="crm"} 1.0' in told
    assert 'consumer_lag_seconds{consumer="crm"}' in told
    crm.delete("/consumers/crm")
    assert 'consumer="crm"' not in crm.get("/metrics").get_data(as_text=True)
