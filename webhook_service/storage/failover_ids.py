"""Gives each history of a database ids of its own, so that no two histories share a place in the feed.

When a replica is promoted, its history goes on without the messages that it had not received. A reader of the feed may
have seen those on the old primary, or on a replica of it. If the new primary gave out the same ids again, that reader
would be past them already and never see the new messages.

Each promotion and each recovery to a point in time begins a new timeline, whose number PostgreSQL keeps:
https://www.postgresql.org/docs/current/continuous-archiving.html#BACKUP-TIMELINES
"""

from typing import Any, LiteralString

from psycopg import Connection, sql

from webhook_service.storage.errors import PRIMARY, translated_errors

IDS_PER_TIMELINE = 2**40
"""The number of ids of each timeline: more than one will ever need, and few enough for thousands of timelines."""

_DIGITS = 8  # hex digits of the timeline's number, which begin the name of each file of the write-ahead log

_TIMELINE = "SELECT pg_walfile_name(pg_current_wal_lsn()) WHERE NOT pg_is_in_recovery()"
_IS_BEHIND = "SELECT last_value < %s FROM messages_id_seq"
_GO_ON_AT = "SELECT setval('messages_id_seq', %s)"


def ensure_own_ids(take_turn: LiteralString, connection: Connection[Any]) -> None:
    """Makes sure that what a new connection stores gets ids of its server's timeline.

    Raises StorageUnavailable when it can't. After a promotion every connection is new, except those to a pooler.
    """
    with translated_errors(PRIMARY), connection.transaction():
        if _is_behind(connection, _first_id(connection)):
            connection.execute(sql.SQL(take_turn))
            move_to_own_ids(connection)


def move_to_own_ids(connection: Connection[Any]) -> None:
    """Moves the sequence of ids to the server's timeline, in a transaction that has the turn to write."""
    first = _first_id(connection)
    if _is_behind(connection, first):
        connection.execute(_GO_ON_AT, (first,))


def _first_id(connection: Connection[Any]) -> int:
    """Returns the id after which the server's timeline begins; 0 for the first timeline and for a replica."""
    row = connection.execute(_TIMELINE).fetchone()
    return (int(row[0][:_DIGITS], 16) - 1) * IDS_PER_TIMELINE if row else 0


def _is_behind(connection: Connection[Any], first: int) -> bool:
    return first > 0 and connection.execute(_IS_BEHIND, (first,)).fetchone() == (True,)
