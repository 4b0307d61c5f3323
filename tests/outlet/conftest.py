"""A consumer for the tests of the outlet."""

import pytest

from tests.support.consumers import Desk
from webhook_service.storage.database import Database


@pytest.fixture
def desk(database: Database) -> Desk:
    made = Desk(database)
    made.make()
    return made
