"""The pages of consumers and of dead letters."""

from collections.abc import Iterator

import pytest
from flask.testing import FlaskClient

from tests.support.app import application
from tests.support.consumers import Desk, store
from tests.support.stored import opened
from webhook_service.domain.secrets import Secrets
from webhook_service.storage.queries.dead_letters import count_dead_letters

OWN_PAGE = {"Sec-Fetch-Site": "same-origin"}


@pytest.fixture
def client(sqlite_url: str) -> Iterator[FlaskClient]:
    """An application with a consumer that could not take two of three messages."""
    with opened(sqlite_url) as database:
        desk = Desk(database)
        desk.make()
        store(database, "m1", "m2", "m3", "m4")
        desk.ack(desk.must_lease(limit=3), dead={"m1": "<no price>", "m2": "unknown customer"})
    with application(sqlite_url) as made:
        yield made


def dead_letters(url: str) -> int:
    with opened(url) as database, database.snapshot() as snapshot:
        return sum(count_dead_letters(snapshot).values())


def test_the_page_of_consumers_tells_how_they_are_doing(client: FlaskClient) -> None:
    page = client.get("/dashboard/consumers").get_data(as_text=True)

    for said in ("crm", "1 behind", "2 dead letters", "0 of 1 lease", "all messages"):
        assert said in page


def test_without_a_consumer_the_page_says_how_to_make_one(sqlite_client: FlaskClient) -> None:
    assert "curl -X PUT " in sqlite_client.get("/dashboard/consumers").get_data(as_text=True)
    assert "no dead letters" in sqlite_client.get("/dashboard/dead-letters").get_data(as_text=True)


def test_dead_letters_are_shown_with_what_was_said_of_them(client: FlaskClient) -> None:
    page = client.get("/dashboard/dead-letters?consumer=crm&limit=1").get_data(as_text=True)

    assert "&lt;no price&gt;" in page
    assert "unknown customer" not in page
    assert "cursor=" in page


def test_one_dead_letter_is_retried_and_one_dropped(client: FlaskClient, sqlite_url: str) -> None:
    assert "given again" in client.post("/dashboard/dead-letters/1/retry", headers=OWN_PAGE).get_data(as_text=True)
    assert dead_letters(sqlite_url) == 1
    assert "Dropped" in client.post("/dashboard/dead-letters/2/drop", headers=OWN_PAGE).get_data(as_text=True)
    assert dead_letters(sqlite_url) == 0
    assert client.post("/dashboard/dead-letters/2/drop", headers=OWN_PAGE).status_code == 404


@pytest.mark.parametrize(
    ("query", "left"), [("", 0), ("?consumer=crm", 0), ("?consumer=other", 2), ("?since=2100-01-01T00:00:00Z", 2)]
)
def test_all_dead_letters_that_are_chosen_are_retried(
    query: str, left: int, client: FlaskClient, sqlite_url: str
) -> None:
    answer = client.post(f"/dashboard/dead-letters/retry{query}", headers=OWN_PAGE)

    assert f"{2 - left} will be given again" in answer.get_data(as_text=True)
    assert dead_letters(sqlite_url) == left


def test_a_browser_changes_things_only_with_the_admin_token(sqlite_url: str) -> None:
    with application(sqlite_url, api_token=Secrets("reader"), admin_token=Secrets("admin")) as made:
        for token, expected in (("reader", 403), ("admin", 200)):
            signed_in = made.post("/dashboard/sign-in", data={"token": token}, headers=OWN_PAGE)
            assert signed_in.status_code == 303
            assert made.get("/dashboard/consumers").status_code == 200
            assert made.post("/dashboard/dead-letters/retry", headers=OWN_PAGE).status_code == expected
