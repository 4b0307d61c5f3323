"""Drops the index of receipts by recipient, which only ``erase`` used, and which each receipt had to be written to.

Its keys are random, so nearly every receipt wrote a page of it: of all pages that a commit wrote, a third.

Revision ID: 0016
"""

from alembic import op

revision = "0016"
down_revision = "0015"

DROPPED_INDEXES = ("ix_receipts_recipient",)


def upgrade() -> None:
    for name in DROPPED_INDEXES:
        op.execute(f"DROP INDEX IF EXISTS {name}")
