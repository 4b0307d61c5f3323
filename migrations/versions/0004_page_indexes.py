"""Indexes with the messages of a recipient, and of a provider, in the order of the pages.

Revision ID: 0004
"""

from alembic import op

revision = "0004"
down_revision = "0003"


def upgrade() -> None:
    op.create_index(op.f("ix_messages_recipient_ts_message_id"), "messages", ["recipient", "ts", "message_id"])
    op.create_index(op.f("ix_messages_provider_ts_message_id"), "messages", ["provider", "ts", "message_id"])
