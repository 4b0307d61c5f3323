"""A PostgreSQL that somebody else runs: the service's role owns its database, and may do nothing else."""

from collections.abc import Iterator
from uuid import uuid4

import pytest
from psycopg import sql
from sqlalchemy import make_url

from tests.support.app import application, deliver
from tests.support.commands import call_cli
from tests.support.deliveries import payload
from tests.support.postgresql import administration
from tests.support.processes import environment

PASSWORD = "the-password-of-the-tests"


@pytest.fixture
def owned_url(empty_postgresql_url: str) -> Iterator[str]:
    """An empty database, and the role that owns it in place of a superuser."""
    role = f"role_{uuid4().hex}"
    name = make_url(empty_postgresql_url).database or ""
    with administration(empty_postgresql_url) as connection:
        connection.execute(
            sql.SQL("CREATE ROLE {} LOGIN NOSUPERUSER NOCREATEROLE NOCREATEDB NOREPLICATION PASSWORD {}").format(
                sql.Identifier(role), sql.Literal(PASSWORD)
            )
        )
        connection.execute(sql.SQL("ALTER DATABASE {} OWNER TO {}").format(sql.Identifier(name), sql.Identifier(role)))
    url = make_url(empty_postgresql_url).set(username=role, password=PASSWORD)
    yield url.render_as_string(hide_password=False)
    with administration(empty_postgresql_url) as connection:
        connection.execute(sql.SQL("REASSIGN OWNED BY {} TO CURRENT_USER").format(sql.Identifier(role)))
        connection.execute(sql.SQL("DROP ROLE {}").format(sql.Identifier(role)))


def test_a_role_that_owns_nothing_but_the_database_can_migrate_and_serve(owned_url: str) -> None:
    migrated = call_cli("migrate", environ=environment(owned_url))
    content = payload(text="Hello from a role without rights")

    with application(owned_url) as client:
        statuses = [deliver(client, content).status_code for _ in range(2)]
        found = client.get("/messages?q=without").get_json()["data"]
        paths = ("/feed", "/stats", "/quarantine", "/health/ready")
        read = {path: client.get(path).status_code for path in paths}
    with administration(owned_url) as connection:
        extensions = connection.execute("SELECT extname FROM pg_extension ORDER BY extname").fetchall()
        confirm = connection.execute("SELECT pg_logical_emit_message(true, 'webhook_service', '') IS NOT NULL")

        assert confirm.fetchone() == (True,)
    assert migrated.returncode == 0, migrated.stderr
    assert statuses == [200, 200]
    assert [message["message_id"] for message in found] == [content["message_id"]]
    assert read == dict.fromkeys(paths, 200)
    assert ("pg_trgm",) in extensions
    assert len(extensions) == 2  # the other is plpgsql, which is always there
