"""Which token lets one read and take, and which one change."""

from collections.abc import Iterator

import pytest
from flask.testing import FlaskClient

from tests.support.app import application
from webhook_service.domain.secrets import Secrets

ADMINISTRATIVE = [
    ("PUT", "/consumers/crm"),
    ("DELETE", "/consumers/crm"),
    ("POST", "/consumers/crm/seek"),
    ("POST", "/dead-letters/retry"),
    ("POST", "/dead-letters/1/retry"),
    ("DELETE", "/dead-letters/1"),
    ("POST", "/quarantine/replay"),
    ("POST", "/quarantine/1/replay"),
    ("DELETE", "/quarantine/1"),
]
OF_READERS = [
    ("GET", "/consumers"),
    ("GET", "/dead-letters"),
    ("POST", "/consumers/crm/lease"),
    ("POST", "/consumers/crm/ack"),
    ("POST", "/consumers/crm/nack"),
    ("POST", "/consumers/crm/extend"),
]


@pytest.fixture
def two_tokens(sqlite_url: str) -> Iterator[FlaskClient]:
    with application(sqlite_url, api_token=Secrets("reader"), admin_token=Secrets("admin")) as made:
        yield made


@pytest.mark.parametrize(("method", "path"), ADMINISTRATIVE)
def test_what_changes_the_service_takes_the_admin_token(method: str, path: str, two_tokens: FlaskClient) -> None:
    answers = {
        token: two_tokens.open(path, method=method, headers={"Authorization": f"Bearer {token}"}).status_code
        for token in ("nobody", "reader", "admin")
    }

    assert (answers["nobody"], answers["reader"]) == (401, 403)
    assert answers["admin"] in {200, 201, 404, 422}


@pytest.mark.parametrize(("method", "path"), OF_READERS)
def test_reading_and_taking_takes_either_token(method: str, path: str, two_tokens: FlaskClient) -> None:
    for token in ("reader", "admin"):
        answer = two_tokens.open(path, method=method, headers={"Authorization": f"Bearer {token}"})
        assert answer.status_code in {200, 404, 422}


@pytest.mark.parametrize(("method", "path"), ADMINISTRATIVE)
def test_one_token_alone_does_both(method: str, path: str, sqlite_url: str) -> None:
    with application(sqlite_url, api_token=Secrets("reader")) as client:
        answer = client.open(path, method=method, headers={"Authorization": "Bearer reader"})

    assert answer.status_code in {200, 201, 404, 422}
