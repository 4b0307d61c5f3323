"""Messages.

Revision ID: 0001
"""

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None


def bytewise(length: int) -> sa.String:
    return sa.String(length).with_variant(sa.String(length, collation="C"), "postgresql")


def upgrade() -> None:
    op.create_table(
        "messages",
        sa.Column("id", sa.BigInteger().with_variant(sa.Integer, "sqlite"), sa.Identity(), primary_key=True),
        sa.Column("message_id", bytewise(255), nullable=False),
        sa.Column("provider", bytewise(32), nullable=False),
        sa.Column("sender", bytewise(255), nullable=False),
        sa.Column("recipient", bytewise(255), nullable=False),
        sa.Column("ts", sa.DateTime(timezone=True), nullable=False),
        sa.Column("text", sa.Text),
        sa.Column("text_folded", sa.Text),
        sa.Column("type", bytewise(64), nullable=False),
        sa.Column("extra", sa.JSON),
        sa.Column("received_at", sa.DateTime(timezone=True), nullable=False),
        sa.UniqueConstraint("message_id"),
        sqlite_autoincrement=True,
    )
    op.create_index(op.f("ix_messages_ts_message_id"), "messages", ["ts", "message_id"])
    op.create_index(op.f("ix_messages_sender_ts_message_id"), "messages", ["sender", "ts", "message_id"])
