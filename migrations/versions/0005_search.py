"""An index of the trigrams of the texts, if the database has the module for it: FTS5 in SQLite, pg_trgm in PostgreSQL.

Revision ID: 0005
"""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.exc import DBAPIError

revision = "0005"
down_revision = "0004"

# The index keeps no text, only the messages for each trigram: https://www.sqlite.org/fts5.html#contentless_tables
SQLITE_INDEX = """
    CREATE VIRTUAL TABLE message_trigrams
    USING fts5(text_folded, content='', detail=none, tokenize='trigram case_sensitive 1')
"""

# Adding one message to the index costs as much as storing ten; adding a thousand together costs next to nothing. So up
# to a thousand messages wait, and a search examines those one by one.
SQLITE_TRIGGERS = (
    """
    CREATE TRIGGER index_stored_messages AFTER INSERT ON messages
    WHEN new.id >= 1000 + (SELECT coalesce(max(id), 0) FROM message_trigrams_docsize) BEGIN
        INSERT INTO message_trigrams (rowid, text_folded)
            SELECT id, text_folded FROM messages
            WHERE id > (SELECT coalesce(max(id), 0) FROM message_trigrams_docsize);
    END
    """,
    """
    CREATE TRIGGER forget_deleted_message AFTER DELETE ON messages
    WHEN old.id <= (SELECT coalesce(max(id), 0) FROM message_trigrams_docsize) BEGIN
        INSERT INTO message_trigrams (message_trigrams, rowid, text_folded)
            VALUES ('delete', old.id, old.text_folded);
    END
    """,
)

# In PostgreSQL new rows wait in the same way. Their number is bounded, so that no writer has to add many at once.
POSTGRESQL_INDEX = """
    CREATE INDEX ix_messages_text_folded_trigrams ON messages
    USING gin (text_folded gin_trgm_ops) WITH (gin_pending_list_limit = 256)
"""


def upgrade() -> None:
    if op.get_bind().dialect.name == "postgresql":
        if _has_pg_trgm():
            op.execute(POSTGRESQL_INDEX)
    elif _has_trigram_tokenizer():
        op.execute("INSERT INTO message_trigrams (rowid, text_folded) SELECT id, text_folded FROM messages")
        for trigger in SQLITE_TRIGGERS:
            op.execute(trigger)


def _has_pg_trgm() -> bool:
    available = sa.text("SELECT count(*) FROM pg_available_extensions WHERE name = 'pg_trgm'")
    return bool(op.get_bind().scalar(available)) and _can("CREATE EXTENSION IF NOT EXISTS pg_trgm")


def _has_trigram_tokenizer() -> bool:
    return _can(SQLITE_INDEX)


def _can(statement: str) -> bool:
    """Tries a statement; tells whether it succeeded. A database may lack the module or deny the permission."""
    try:
        with op.get_bind().begin_nested():
            op.execute(statement)
    except DBAPIError:
        return False
    return True
