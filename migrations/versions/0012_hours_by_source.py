"""Counts the messages of an hour by their source, so that those of a source are read instead of counted.

Revision ID: 0012
"""

import sqlalchemy as sa
from alembic import op

revision = "0012"
down_revision = "0011"

SOURCE = sa.String(32).with_variant(sa.String(32, collation="C"), "postgresql")

# These take the place of the triggers of 0003, and differ from them in the table of hours alone.
SQLITE_TRIGGERS = {
    "count_stored_message": """
        CREATE TRIGGER count_stored_message AFTER INSERT ON messages BEGIN
            INSERT INTO sender_counts (sender, messages) VALUES (new.sender, 1)
                ON CONFLICT (sender) DO UPDATE SET messages = messages + 1;
            INSERT INTO hour_counts (hour, source, messages)
                VALUES (substr(new.ts, 1, 13) || ':00:00.000000', new.source, 1)
                ON CONFLICT (hour, source) DO UPDATE SET messages = messages + 1;
            UPDATE totals SET messages = messages + 1;
        END
    """,
    "count_deleted_message": """
        CREATE TRIGGER count_deleted_message AFTER DELETE ON messages BEGIN
            UPDATE sender_counts SET messages = messages - 1 WHERE sender = old.sender;
            DELETE FROM sender_counts WHERE sender = old.sender AND messages = 0;
            UPDATE hour_counts SET messages = messages - 1
                WHERE hour = substr(old.ts, 1, 13) || ':00:00.000000' AND source = old.source;
            DELETE FROM hour_counts
                WHERE hour = substr(old.ts, 1, 13) || ':00:00.000000' AND source = old.source AND messages = 0;
            UPDATE totals SET messages = messages - 1;
        END
    """,
}

POSTGRESQL_FUNCTION = """
    CREATE OR REPLACE FUNCTION count_messages() RETURNS trigger LANGUAGE plpgsql AS $$
    DECLARE
        step integer := CASE TG_OP WHEN 'INSERT' THEN 1 ELSE -1 END;
    BEGIN
        IF NOT EXISTS (SELECT FROM changed) THEN
            RETURN NULL;
        END IF;
        WITH changes AS (
            SELECT sender, count(*) AS number FROM changed GROUP BY sender
        ), merged AS (
            INSERT INTO sender_counts AS counts (sender, messages)
            SELECT sender, step * number FROM changes ORDER BY sender
            ON CONFLICT (sender) DO UPDATE SET messages = counts.messages + excluded.messages
            RETURNING sender, messages
        ), come_or_gone AS (
            SELECT FROM merged JOIN changes USING (sender)
            WHERE merged.messages = CASE TG_OP WHEN 'INSERT' THEN changes.number ELSE 0 END
        )
        UPDATE totals SET
            messages = messages + step * (SELECT count(*) FROM changed),
            senders = senders + step * (SELECT count(*) FROM come_or_gone);
        INSERT INTO hour_counts AS counts (hour, source, messages)
            SELECT date_trunc('hour', ts, 'UTC'), source, step * count(*) FROM changed GROUP BY 1, 2 ORDER BY 1, 2
            ON CONFLICT (hour, source) DO UPDATE SET messages = counts.messages + excluded.messages;
        IF TG_OP = 'DELETE' THEN
            DELETE FROM sender_counts WHERE messages = 0 AND sender IN (SELECT sender FROM changed);
            DELETE FROM hour_counts WHERE messages = 0
                AND (hour, source) IN (SELECT date_trunc('hour', ts, 'UTC'), source FROM changed);
        END IF;
        RETURN NULL;
    END
    $$
"""


def upgrade() -> None:
    on_postgresql = op.get_bind().dialect.name == "postgresql"
    op.drop_table("hour_counts")
    op.create_table(
        "hour_counts",
        sa.Column("hour", sa.DateTime(timezone=True), primary_key=True),
        sa.Column("source", SOURCE, primary_key=True),
        sa.Column("messages", sa.BigInteger, nullable=False),
        sqlite_with_rowid=False,
    )
    hour = "date_trunc('hour', ts, 'UTC')" if on_postgresql else "substr(ts, 1, 13) || ':00:00.000000'"
    op.execute(
        f"INSERT INTO hour_counts (hour, source, messages) SELECT {hour}, source, count(*) FROM messages GROUP BY 1, 2"  # noqa: S608  # an expression of our own
    )
    op.create_index(op.f("ix_hour_counts_source_hour"), "hour_counts", ["source", "hour"])
    if on_postgresql:
        op.execute(POSTGRESQL_FUNCTION)
        return
    for name, trigger in SQLITE_TRIGGERS.items():
        op.execute(f"DROP TRIGGER {name}")
        op.execute(trigger)
