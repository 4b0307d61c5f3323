"""Messages; if the table of the FastAPI original is there, its messages are taken over.

Revision ID: 0001
"""

from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any
from unicodedata import normalize

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None


def bytewise(length: int) -> sa.String:
    return sa.String(length).with_variant(sa.String(length, collation="C"), "postgresql")


# The name under which the original's table stays, otherwise unchanged.
ORIGINAL = "messages_of_the_original"


def upgrade() -> None:
    found_original = "messages" in sa.inspect(op.get_bind()).get_table_names()
    if found_original:
        op.rename_table("messages", ORIGINAL)
    messages = op.create_table(
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
    if found_original:
        for row in read_original(op.get_bind()):
            op.execute(messages.insert().values(row))


def read_original(connection: sa.Connection) -> Iterator[dict[str, Any]]:
    """Yields the original's messages as rows of the new table; it had two spellings of the recipient's column."""
    for row in connection.execute(sa.text(f"SELECT * FROM {ORIGINAL} ORDER BY rowid")).mappings():  # noqa: S608  # ours
        recipient = next(name for name in row if name.startswith("to_"))
        yield {
            "message_id": row["message_id"],
            "provider": "native",
            "sender": row["from_msisdn"],
            "recipient": row[recipient],
            "ts": utc(row["ts"]),
            "text": row["text"],
            "text_folded": None if row["text"] is None else fold(row["text"]),
            "type": "text",
            "received_at": utc(row["created_at"]),
        }


def fold(text: str) -> str:
    """Folds the case of a text, in the way in which it was searched when this migration was written."""
    folded = normalize("NFC", normalize("NFC", text).casefold())
    return folded.replace("i\u0307", "i").replace("\u0131", "i")


def utc(timestamp: str) -> datetime:
    """Reads an ISO 8601 timestamp as UTC; where the original wrote no zone, it meant UTC."""
    moment = datetime.fromisoformat(timestamp)
    moment = moment.astimezone(UTC) if moment.tzinfo else moment
    return moment.replace(tzinfo=None)
