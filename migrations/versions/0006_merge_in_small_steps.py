"""SQLite's index of trigrams merges its parts two at a time, so that no transaction has many to merge at once.

With FTS5's default of four, deleting messages sometimes held the turn to write for up to 170 ms; with two, for 80 ms.
https://www.sqlite.org/fts5.html#the_automerge_configuration_option

Revision ID: 0006
"""

import sqlalchemy as sa
from alembic import op

revision = "0006"
down_revision = "0005"


def upgrade() -> None:
    connection = op.get_bind()
    if connection.dialect.name == "sqlite" and sa.inspect(connection).has_table("message_trigrams"):
        op.execute("INSERT INTO message_trigrams (message_trigrams, rank) VALUES ('automerge', 2)")
