"""Activity, by source and hour; a mark for test messages; indexes of types and of reasons.

Revision ID: 0010
"""

import sqlalchemy as sa
from alembic import op

revision = "0010"
down_revision = "0009"


def bytewise(length: int) -> sa.String:
    return sa.String(length).with_variant(sa.String(length, collation="C"), "postgresql")


def upgrade() -> None:
    op.create_table(
        "activity",
        sa.Column("id", sa.BigInteger().with_variant(sa.Integer, "sqlite"), sa.Identity(), primary_key=True),
        sa.Column("source", bytewise(32), nullable=False),
        sa.Column("outcome", bytewise(64), nullable=False),
        sa.Column("hour", sa.DateTime(timezone=True), nullable=False),
        sa.Column("count", sa.BigInteger, nullable=False),
        sa.Column("last_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("last_reason", bytewise(64)),
        sa.Column("last_hint", bytewise(64)),
        sa.UniqueConstraint("source", "outcome", "hour"),
    )
    op.create_index(op.f("ix_activity_hour"), "activity", ["hour"])
    op.add_column("messages", sa.Column("is_test", sa.Boolean))
    # Most messages are texts. The other indexes find those, and here they cost nothing.
    is_rare = sa.text("type <> 'text'")
    op.create_index(
        op.f("ix_messages_type_ts_message_id"),
        "messages",
        ["type", "ts", "message_id"],
        sqlite_where=is_rare,
        postgresql_where=is_rare,
    )
    op.create_index(op.f("ix_quarantine_reason_id"), "quarantine", ["reason", "id"])
