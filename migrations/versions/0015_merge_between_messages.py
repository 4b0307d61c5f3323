"""SQLite's index of trigrams is written for 250 messages at a time, and merges a few pages with every fiftieth message.

FTS5 by itself merges hundreds of pages inside one commit, and the more is stored, the more: with 200,000 messages
stored, 7 % of the time went into commits of over 10 ms, up to 70 ms. Here as many pages are merged in all, evenly.
https://www.sqlite.org/fts5.html#the_merge_command

Revision ID: 0015
"""

import sqlalchemy as sa
from alembic import op

revision = "0015"
down_revision = "0014"

INDEX_STORED = """
    CREATE TRIGGER index_stored_messages AFTER INSERT ON messages
    WHEN new.id >= 250 + (SELECT coalesce(max(id), 0) FROM message_trigrams_docsize) BEGIN
        INSERT INTO message_trigrams (rowid, text_folded)
            SELECT id, text_folded FROM messages
            WHERE id > (SELECT coalesce(max(id), 0) FROM message_trigrams_docsize);
    END
"""

# A text of n characters puts about 2 n bytes into the index, which are written again with each level of it, some seven
# times: fifty such texts are n / 8 pages of 4,000 bytes with some to spare, and 4 more are for the terms themselves.
# A longer text than 32,768 characters counts as that, so that no commit merges thousands of pages for the sake of one
# message. When that falls behind, FTS5 merges sixteen parts of a level at once ('crisismerge').
MERGE = """
    CREATE TRIGGER merge_with_{event} AFTER {statement} ON messages
    WHEN {row}.id % 50 = 25 BEGIN
        INSERT INTO message_trigrams (message_trigrams, rank)
            VALUES ('merge', 4 + min(coalesce(length({row}.text_folded), 0), 32768) / 8);
    END
"""


def upgrade() -> None:
    connection = op.get_bind()
    if connection.dialect.name != "sqlite" or not sa.inspect(connection).has_table("message_trigrams"):
        return
    op.execute("INSERT INTO message_trigrams (message_trigrams, rank) VALUES ('automerge', 0)")
    op.execute("DROP TRIGGER index_stored_messages")
    op.execute(INDEX_STORED)
    op.execute(MERGE.format(event="stored", statement="INSERT", row="new"))
    op.execute(MERGE.format(event="deleted", statement="DELETE", row="old"))
