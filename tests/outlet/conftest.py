"""A consumer and clocks for the tests of the outlet."""

import pytest

from tests.support.consumers import Desk
from tests.support.hands import Clocks
from webhook_service.storage.database import Database


@pytest.fixture
def desk(database: Database) -> Desk:
    made = Desk(database)
    made.make()
    return made


@pytest.fixture
def clocks(monkeypatch: pytest.MonkeyPatch) -> Clocks:
    made = Clocks()
    made.rule(monkeypatch)
    return made
