"""Consumers, the stretches of the feed that they have not acknowledged, and their dead letters.

Revision ID: 0009
"""

import sqlalchemy as sa
from alembic import op

revision = "0009"
down_revision = "0008"

# Announces messages to those who wait, in the transaction that stores them; listeners are told once per transaction.
POSTGRESQL_TRIGGERS = (
    """
    CREATE FUNCTION announce_messages() RETURNS trigger LANGUAGE plpgsql AS $$
    BEGIN
        PERFORM pg_notify('webhook_service_messages', '');
        RETURN NULL;
    END
    $$
    """,
    """
    CREATE TRIGGER announce_messages AFTER INSERT ON messages
        FOR EACH STATEMENT EXECUTE FUNCTION announce_messages()
    """,
)


def upgrade() -> None:
    op.create_table(
        "consumers",
        _growing_id(),
        sa.Column("kind", _bytewise(16), nullable=False),
        sa.Column("name", _bytewise(64), nullable=False),
        sa.Column("filter", sa.JSON, nullable=False),
        sa.Column("handed", sa.BigInteger, nullable=False),
        sa.Column("max_leases", sa.Integer, nullable=False),
        sa.Column("max_attempts", sa.Integer, nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.UniqueConstraint("kind", "name"),
        sqlite_autoincrement=True,
    )
    op.create_table(
        "stretches",
        _growing_id(),
        _consumer_id(),
        sa.Column("after", sa.BigInteger, nullable=False),
        sa.Column("last", sa.BigInteger, nullable=False),
        sa.Column("attempt", sa.Integer, nullable=False),
        sa.Column("token", _bytewise(32)),
        sa.Column("given_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("free_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("reason", sa.Text),
        sqlite_autoincrement=True,
    )
    op.create_index(op.f("ix_stretches_consumer_id_after"), "stretches", ["consumer_id", "after"])
    op.create_index(op.f("ix_stretches_consumer_id_free_at"), "stretches", ["consumer_id", "free_at"])
    op.create_table(
        "dead_letters",
        _growing_id(),
        _consumer_id(),
        sa.Column("feed_id", sa.BigInteger, sa.ForeignKey("messages.id", ondelete="CASCADE"), nullable=False),
        sa.Column("reason", sa.Text, nullable=False),
        sa.Column("attempts", sa.JSON, nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.UniqueConstraint("consumer_id", "feed_id"),
        sqlite_autoincrement=True,
    )
    op.create_index(op.f("ix_dead_letters_consumer_id_id"), "dead_letters", ["consumer_id", "id"])
    op.create_index(op.f("ix_dead_letters_feed_id"), "dead_letters", ["feed_id"])
    if op.get_bind().dialect.name == "postgresql":
        for trigger in POSTGRESQL_TRIGGERS:
            op.execute(trigger)


def _bytewise(length: int) -> sa.String:
    return sa.String(length).with_variant(sa.String(length, collation="C"), "postgresql")


def _growing_id() -> sa.Column[int]:
    return sa.Column("id", sa.BigInteger().with_variant(sa.Integer, "sqlite"), sa.Identity(), primary_key=True)


def _consumer_id() -> sa.Column[int]:
    return sa.Column("consumer_id", sa.BigInteger, sa.ForeignKey("consumers.id", ondelete="CASCADE"), nullable=False)
