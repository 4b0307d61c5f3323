"""The index of the texts' trigrams, which the migration makes where the database has one.

It only narrows a search down: what it gives is compared with the text itself, so a search finds the same without it.
"""

from sqlalchemy import ColumnElement, Connection, column, func, select, table, text

from webhook_service.storage.models import MessageRow

TRIGRAM = 3  # characters; a shorter part of a text is in no index
MOST_TRIGRAMS = 32  # of a long text; they narrow down enough, and FTS5 bounds what it takes

_fts = table("message_trigrams", column("rowid"), column("message_trigrams"))
_docsize = table("message_trigrams_docsize", column("id"))
_exists = {
    "sqlite": text("SELECT count(*) FROM sqlite_master WHERE name = 'message_trigrams'"),
    "postgresql": text("SELECT count(*) FROM pg_class WHERE relname = 'ix_messages_text_folded_trigrams'"),
}


def narrows_down(connection: Connection, folded: str) -> bool:
    """Whether there is an index, and a part of a text that it knows."""
    return len(folded) >= TRIGRAM and bool(connection.scalar(_exists[connection.dialect.name]))


def narrow_down(connection: Connection, folded: str) -> list[ColumnElement[bool]]:
    """Conditions that hold for every message with this in its text, and for few others.

    None on PostgreSQL, which enters the index by the comparison of the text itself. On SQLite the id is one of those
    that have each trigram, or that are not in the index yet.
    """
    if connection.dialect.name == "postgresql" or not narrows_down(connection, folded):
        return []
    trigrams = {folded[at : at + TRIGRAM] for at in range(len(folded) - TRIGRAM + 1)}
    quoted = (f'"{trigram.replace(chr(34), chr(34) * 2)}"' for trigram in sorted(trigrams)[:MOST_TRIGRAMS])
    indexed = select(_fts.c.rowid).where(_fts.c.message_trigrams.op("MATCH")(" ".join(quoted)))
    newest_indexed = select(func.coalesce(func.max(_docsize.c.id), 0)).scalar_subquery()
    waiting = select(MessageRow.id).where(MessageRow.id > newest_indexed)
    return [MessageRow.id.in_(indexed.union_all(waiting))]
