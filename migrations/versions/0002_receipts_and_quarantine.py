"""Receipts, and the quarantine.

Revision ID: 0002
Revises: 0001
"""

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"


def bytewise(length: int) -> sa.String:
    return sa.String(length).with_variant(sa.String(length, collation="C"), "postgresql")


def growing_id() -> sa.Column[int]:
    return sa.Column("id", sa.BigInteger().with_variant(sa.Integer, "sqlite"), sa.Identity(), primary_key=True)


def upgrade() -> None:
    op.create_table(
        "receipts",
        growing_id(),
        sa.Column("message_id", bytewise(255), nullable=False),
        sa.Column("provider", bytewise(32), nullable=False),
        sa.Column("status", bytewise(64), nullable=False),
        sa.Column("recipient", bytewise(255), nullable=False),
        sa.Column("ts", sa.DateTime(timezone=True), nullable=False),
        sa.Column("error", sa.Text),
        sa.Column("extra", sa.JSON),
        sa.Column("received_at", sa.DateTime(timezone=True), nullable=False),
        sa.UniqueConstraint("message_id", "status", "recipient"),
        sqlite_autoincrement=True,
    )
    op.create_index(op.f("ix_receipts_status_id"), "receipts", ["status", "id"])
    op.create_index(op.f("ix_receipts_message_id_id"), "receipts", ["message_id", "id"])
    op.create_index(op.f("ix_receipts_recipient"), "receipts", ["recipient"])
    op.create_index(op.f("ix_receipts_ts"), "receipts", ["ts"])
    op.create_table(
        "quarantine",
        growing_id(),
        sa.Column("provider", bytewise(32), nullable=False),
        sa.Column("body_sha256", bytewise(64), nullable=False),
        sa.Column("raw", sa.LargeBinary, nullable=False),
        sa.Column("headers", sa.JSON, nullable=False),
        sa.Column("target", sa.Text, nullable=False),
        sa.Column("reason", bytewise(64), nullable=False),
        sa.Column("problems", sa.JSON, nullable=False),
        sa.Column("first_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("last_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("count", sa.BigInteger, nullable=False),
        sa.UniqueConstraint("provider", "body_sha256"),
        sqlite_autoincrement=True,
    )
