"""The standing of destinations, and the messages that they have not taken yet.

Revision ID: 0011
"""

import sqlalchemy as sa
from alembic import op

revision = "0011"
down_revision = "0010"


def upgrade() -> None:
    op.create_table(
        "destinations",
        sa.Column(
            "consumer_id",
            sa.BigInteger,
            sa.ForeignKey("consumers.id", ondelete="CASCADE"),
            primary_key=True,
            autoincrement=False,
        ),
        sa.Column("state", _bytewise(16), nullable=False),
        sa.Column("failures", sa.BigInteger, nullable=False),
        sa.Column("probes", sa.Integer, nullable=False),
        sa.Column("paused_at", sa.DateTime(timezone=True)),
        sa.Column("held_until", sa.DateTime(timezone=True)),
        sa.Column("next_slot", sa.DateTime(timezone=True)),
        sa.Column("pushed", sa.BigInteger, nullable=False),
        sa.Column("failed", sa.BigInteger, nullable=False),
        sa.Column("last_pushed_at", sa.DateTime(timezone=True)),
        sa.Column("last_failed_at", sa.DateTime(timezone=True)),
        sa.Column("last_failure", _bytewise(32)),
        sa.Column("last_status", sa.Integer),
    )
    op.create_table(
        "retries",
        sa.Column("id", sa.BigInteger().with_variant(sa.Integer, "sqlite"), sa.Identity(), primary_key=True),
        sa.Column("consumer_id", sa.BigInteger, sa.ForeignKey("consumers.id", ondelete="CASCADE"), nullable=False),
        sa.Column("feed_id", sa.BigInteger, sa.ForeignKey("messages.id", ondelete="CASCADE"), nullable=False),
        sa.Column("sender", _bytewise(255), nullable=False),
        sa.Column("attempts", sa.JSON, nullable=False),
        sa.Column("first_at", sa.DateTime(timezone=True)),
        sa.Column("next_at", sa.DateTime(timezone=True)),
        sa.Column("taken_until", sa.DateTime(timezone=True)),
        sa.UniqueConstraint("consumer_id", "feed_id"),
        sqlite_autoincrement=True,
    )
    op.create_index(op.f("ix_retries_consumer_id_next_at"), "retries", ["consumer_id", "next_at"])
    op.create_index(op.f("ix_retries_consumer_id_sender_feed_id"), "retries", ["consumer_id", "sender", "feed_id"])
    op.create_index(op.f("ix_retries_feed_id"), "retries", ["feed_id"])


def _bytewise(length: int) -> sa.String:
    return sa.String(length).with_variant(sa.String(length, collation="C"), "postgresql")
