"""A note of the secret that signed is never in the way of the deliveries that it signed."""

import pytest

from webhook_service.domain.errors import RowRefused
from webhook_service.domain.results import Result
from webhook_service.domain.secrets import Secret, Secrets
from webhook_service.domain.verdicts import Verdict
from webhook_service.intake import secret_uses
from webhook_service.intake.secret_uses import SecretUseRecorder
from webhook_service.providers.native import Native
from webhook_service.providers.source import Source
from webhook_service.storage.database import Database
from webhook_service.storage.queries.secrets import read_secret_uses

SECRETS = Secrets(Secret("new", "2026"), Secret("old", "2025"))
SIGNED = Verdict("native", "native", Result.CREATED, is_accepted=True, secret="2026")


def test_a_note_that_the_database_refuses_is_made_with_the_next_delivery(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    uses = SecretUseRecorder({"native": Source("native", Native(SECRETS, {}))}, database)

    def refuse(*_arguments: object) -> None:
        raise RowRefused

    with monkeypatch.context() as refusing:
        refusing.setattr(secret_uses, "write_secret_uses", refuse)
        uses.record([SIGNED])
    uses.record([SIGNED])

    with database.snapshot() as snapshot:
        assert set(read_secret_uses(snapshot)) == {("native", "2026")}
