"""A second, different message under an ID is no repetition: it is kept, told, and overwrites nothing."""

from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest
from flask.testing import FlaskClient

from tests.support.app import application, deliver
from tests.support.deliveries import SECRET, payload
from tests.support.messages import MOMENT, message
from tests.support.stored import accept, opened
from tests.support.whatsapp import a_message, a_value, of_values, post
from webhook_service.domain.deliveries import Contents
from webhook_service.domain.errors import ConnectionLost, StorageBusy, StorageUnavailable
from webhook_service.domain.limits import PROBLEMS_MAX
from webhook_service.domain.messages import Message
from webhook_service.domain.results import Outcome
from webhook_service.domain.secrets import Secrets
from webhook_service.intake.commit import DeliveryRows, _apply_outcomes, commit
from webhook_service.providers.native import Native
from webhook_service.providers.twilio import Twilio
from webhook_service.providers.whatsapp import WhatsApp
from webhook_service.storage.database import Database
from webhook_service.storage.queries.conflicts import find_different
from webhook_service.storage.queries.insert import Row
from webhook_service.storage.queries.messages import find_message
from webhook_service.storage.queries.quarantine import find_conflicts
from webhook_service.storage.writing import Executor

CREATED, DUPLICATE, CONFLICT = Outcome.CREATED, Outcome.DUPLICATE, Outcome.CONFLICT
FIRST = payload(message_id="m-1")
OTHER = {**FIRST, "text": "Goodbye"}
LATER = timedelta(seconds=1)


@pytest.fixture
def client(database_url: str) -> Iterator[FlaskClient]:
    secrets = {name: Secrets(SECRET) for name in (Native.name, WhatsApp.name, Twilio.name)}
    options: dict[str, dict[str, str]] = {
        Native.name: {},
        WhatsApp.name: {"WHATSAPP_VERIFY_TOKEN": "token"},
        Twilio.name: {"PUBLIC_URL": "https://inbox.example"},
    }
    with application(database_url, provider_secrets=secrets, provider_options=options) as made:
        yield made


def quarantined(client: FlaskClient) -> list[dict[str, Any]]:
    listed: list[dict[str, Any]] = client.get("/quarantine").get_json()["data"]
    return listed


def outcome_of_second(database: Database, first: Message, second: Message) -> Outcome:
    accept(database, Contents((first,)))
    (outcome,) = accept(database, Contents((second,))).messages
    return outcome


@pytest.mark.parametrize(
    "difference",
    [
        {"provider": "whatsapp"},
        {"sender": "+4915112345679"},
        {"recipient": "+4930123457"},
        {"type": "image"},
        {"text": "hello"},
        {"text": "Hello "},
        {"text": ""},
        {"text": None},
        {"ts": MOMENT - LATER},
    ],
)
def test_any_difference_in_what_a_message_says_is_a_conflict(database: Database, difference: dict[str, Any]) -> None:
    first = message("m-1", received_at=MOMENT + LATER)

    assert outcome_of_second(database, first, replace(first, **difference)) is CONFLICT
    with database.snapshot() as snapshot:
        stored = find_message(snapshot, "m-1")
    assert stored is not None
    assert (stored.provider, stored.sender, stored.recipient, stored.type, stored.text, stored.ts) == (
        first.provider,
        first.sender,
        first.recipient,
        first.type,
        first.text,
        first.ts,
    )


def test_a_message_without_a_text_gets_none_without_a_conflict(database: Database) -> None:
    silent = message("m-1", text=None)

    assert outcome_of_second(database, silent, silent) is DUPLICATE
    assert outcome_of_second(database, silent, replace(silent, text="Hello")) is CONFLICT


@pytest.mark.parametrize("difference", [{"extra": {"a": 1}}, {"received_at": MOMENT + 2 * LATER}, {}])
def test_what_a_repetition_may_change_is_no_conflict(database: Database, difference: dict[str, Any]) -> None:
    first = message("m-1", received_at=MOMENT + LATER)

    assert outcome_of_second(database, first, replace(first, **difference)) is DUPLICATE


def test_the_time_of_an_arrival_is_no_time_of_the_message(database: Database) -> None:
    first = message("m-1", provider="twilio", ts=MOMENT, received_at=MOMENT)
    second = replace(first, ts=MOMENT + LATER, received_at=MOMENT + LATER)

    assert outcome_of_second(database, first, second) is DUPLICATE


def test_two_messages_under_one_id_in_one_round_are_told_apart(database: Database) -> None:
    first, other = message("m-1"), message("m-1", text="Goodbye")

    became = commit(
        database, [DeliveryRows.encode(Contents((each,))) for each in (first, first, other, first, message())]
    )

    outcomes = [each.messages for each in became if not isinstance(each, Exception)]
    assert outcomes == [(CREATED,), (DUPLICATE,), (CONFLICT,), (DUPLICATE,), (CREATED,)]


def test_a_message_that_was_deleted_while_another_was_compared_with_it_leaves_its_id_free(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    accept(database, Contents((message("m-1"),)))

    def delete_first(executor: Executor, rows: Sequence[Row]) -> Iterator[tuple[int, bool]]:
        executor.exec_driver_sql("DELETE FROM messages WHERE message_id = 'm-1'", ())
        return find_different(executor, rows)

    monkeypatch.setattr("webhook_service.storage.queries.messages.find_different", delete_first)
    outcomes = accept(database, Contents((message("m-1", text="Goodbye"), message("m-2"))))

    assert outcomes.messages == (CREATED, CREATED)


@pytest.mark.parametrize("failure", [StorageBusy, ConnectionLost])
def test_what_was_created_before_conflicts_could_be_settled_is_told_as_created(
    failure: type[StorageUnavailable], database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    accept(database, Contents((message("m-1"),)))
    failures = [failure("away for a moment")]

    def settle(*arguments: Any) -> Any:
        if failures:
            raise failures.pop()
        return _apply_outcomes(*arguments)

    monkeypatch.setattr("webhook_service.intake.commit._apply_outcomes", settle)
    outcomes = accept(database, Contents((message("m-1", text="Goodbye"), message("m-2"))))

    assert outcomes.messages == (CONFLICT, CREATED)


def test_more_repetitions_than_a_statement_takes_are_all_compared(database: Database) -> None:
    many = [message(f"m-{number}") for number in range(8_000)]
    accept(database, Contents(tuple(many)))
    many[4_000], many[-1] = replace(many[4_000], text="Goodbye"), replace(many[-1], text="Goodbye")

    outcomes = accept(database, Contents(tuple(many))).messages

    assert [place for place, outcome in enumerate(outcomes) if outcome is CONFLICT] == [4_000, 7_999]
    assert outcomes.count(DUPLICATE) == 7_998


def test_writers_at_once_agree_on_one_message_for_an_id(database_url: str) -> None:
    def offer(writer: int) -> list[Outcome]:
        with opened(database_url) as database:
            offered = (message(f"m-{number}", text=str(writer)) for number in range(30))
            return [accept(database, Contents((each,))).messages[0] for each in offered]

    with ThreadPoolExecutor(3) as threads:
        outcomes = list(threads.map(offer, range(3)))

    for by_writer in zip(*outcomes, strict=True):
        assert sorted(by_writer) == [CONFLICT, CONFLICT, CREATED]


def test_a_conflict_is_acknowledged_kept_counted_and_overwrites_nothing(client: FlaskClient) -> None:
    deliver(client, FIRST)

    answer = deliver(client, OTHER)

    (entry,) = quarantined(client)
    metrics = client.get("/metrics").text
    assert (answer.status_code, answer.get_json()) == (200, {"status": "ok"})
    assert (entry["reason"], entry["problems"], entry["count"]) == ("id_conflict", {"m-1": ["id_conflict"]}, 1)
    assert client.get("/messages/m-1").get_json()["text"] == "Hello"
    assert 'webhook_items_total{kind="message",outcome="conflict",provider="native",source="native"} 1.0' in metrics
    assert 'webhook_requests_total{provider="native",result="conflict",source="native"} 1.0' in metrics
    assert 'webhook_refusals_total{provider="native",reason="id_conflict",source="native"} 1.0' in metrics


def test_a_conflict_that_comes_again_counts_up(client: FlaskClient) -> None:
    for content in (FIRST, OTHER, OTHER, FIRST):
        deliver(client, content)

    (entry,) = quarantined(client)
    assert entry["count"] == 2


def test_the_log_names_a_conflict(
    client: FlaskClient, capfd: pytest.CaptureFixture[str], caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO", "webhook_service.request")
    deliver(client, FIRST)
    capfd.readouterr()

    deliver(client, OTHER)

    line = capfd.readouterr().out
    assert '"result":"conflict"' in line
    assert '"dup":false' in line
    assert '"conflicts":1' in line
    assert "Goodbye" not in line


def test_a_claimed_id_loses_no_message_of_its_provider(client: FlaskClient) -> None:
    deliver(client, payload(message_id="wamid.2"))

    answer = post(client, of_values(a_value(messages=[a_message("wamid.1"), a_message("wamid.2")])))

    (entry,) = quarantined(client)
    assert answer.status_code == 200
    assert (entry["reason"], entry["problems"]) == ("id_conflict", {"wamid.2": ["id_conflict"]})
    assert client.get("/messages/wamid.1").status_code == 200
    assert client.get("/messages/wamid.2").get_json()["provider"] == "native"


def test_a_conflict_beside_what_is_not_understood_is_kept_once_as_a_conflict_with_both(
    client: FlaskClient, database: Database
) -> None:
    deliver(client, payload(message_id="wamid.2"))

    post(client, of_values(a_value(messages=[{"id": "wamid.bad"}, a_message("wamid.2")])))

    (entry,) = quarantined(client)
    assert (entry["reason"], entry["count"]) == ("id_conflict", 1)
    assert entry["problems"]["wamid.2"] == ["id_conflict"]
    assert len(entry["problems"]) == 2
    with database.snapshot() as snapshot:
        assert [found.id for found in find_conflicts(snapshot, "wamid.2", 10)] == [entry["id"]]


def test_a_replay_says_that_it_is_still_a_conflict(client: FlaskClient) -> None:
    deliver(client, FIRST)
    deliver(client, OTHER)
    (entry,) = quarantined(client)

    for query in ("", "?rename=false"):
        answer = client.post(f"/quarantine/{entry['id']}/replay{query}")
        assert answer.status_code == 422
        assert answer.get_json()["errors"] == {"m-1": ["id_conflict"]}
        assert answer.get_json()["conflict"] == 1
    assert quarantined(client) == [entry]


def test_a_replay_that_may_rename_stores_the_message_under_an_id_of_its_own(client: FlaskClient) -> None:
    deliver(client, FIRST)
    deliver(client, OTHER)
    (entry,) = quarantined(client)

    answer = client.post(f"/quarantine/{entry['id']}/replay?rename=true")

    stored = client.get("/messages?order=asc").get_json()["data"]
    assert answer.get_json() == {"status": "ok", "created": 1, "duplicate": 0, "conflict": 0}
    assert sorted(each["text"] for each in stored) == ["Goodbye", "Hello"]
    assert {each["message_id"].partition("~")[0] for each in stored} == {"m-1"}
    assert quarantined(client) == []


def test_a_message_is_renamed_alike_each_time(client: FlaskClient) -> None:
    long = {**FIRST, "message_id": "m" * 255}
    deliver(client, long)
    for _ in range(2):
        deliver(client, {**long, "text": "Goodbye"})
        (entry,) = quarantined(client)
        assert client.post(f"/quarantine/{entry['id']}/replay?rename=true").status_code == 200

    assert client.get("/messages").get_json()["total"] == 2


def test_a_replay_takes_no_other_word(client: FlaskClient) -> None:
    deliver(client, FIRST)
    deliver(client, OTHER)
    (entry,) = quarantined(client)

    answer = client.post(f"/quarantine/{entry['id']}/replay?rename=perhaps")

    assert answer.status_code == 422
    assert list(answer.get_json()["errors"]) == ["rename"]


def test_a_replay_after_the_first_message_is_gone_stores_the_other(client: FlaskClient, database: Database) -> None:
    deliver(client, FIRST)
    deliver(client, OTHER)
    (entry,) = quarantined(client)
    with database.transaction() as transaction:
        transaction.exec_driver_sql("DELETE FROM messages")

    answer = client.post(f"/quarantine/{entry['id']}/replay")

    assert answer.status_code == 200
    assert client.get("/messages/m-1").get_json()["text"] == "Goodbye"


def test_a_conflict_that_is_not_named_any_more_is_found_by_what_the_delivery_holds(
    client: FlaskClient, database: Database
) -> None:
    ids = [f"wamid.{number:03}" for number in range(PROBLEMS_MAX + 2)]
    for message_id in [*ids, "wamid.other"]:
        deliver(client, payload(message_id=message_id))

    post(client, of_values(a_value(messages=[a_message(each) for each in ids])))

    (entry,) = quarantined(client)
    assert ids[-1] not in entry["problems"]
    assert entry["problems"]["…"] == ["2 more"]
    with database.snapshot() as snapshot:
        found = [len(find_conflicts(snapshot, each, 10)) for each in (ids[0], ids[-1], "wamid.other")]
    assert found == [1, 1, 0]
    hint = "It has more conflicts than are named, and this ID is in it."
    pages = [client.get(f"/dashboard/messages?message={each}").text for each in (ids[0], ids[-1])]
    assert [hint in page for page in pages] == [False, True]
