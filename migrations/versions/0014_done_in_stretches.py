"""The messages of a stretch that are done although an earlier one is not.

Revision ID: 0014
"""

import sqlalchemy as sa
from alembic import op

revision = "0014"
down_revision = "0013"


def upgrade() -> None:
    op.add_column("stretches", sa.Column("done", sa.JSON))
