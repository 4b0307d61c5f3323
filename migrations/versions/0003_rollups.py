"""Counts of messages, by sender, by hour and in all; triggers keep them exact in every transaction.

Revision ID: 0003
"""

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"

# SQLite's triggers handle one row at a time.
SQLITE_TRIGGERS = (
    """
    CREATE TRIGGER count_stored_message AFTER INSERT ON messages BEGIN
        INSERT INTO sender_counts (sender, messages) VALUES (new.sender, 1)
            ON CONFLICT (sender) DO UPDATE SET messages = messages + 1;
        INSERT INTO hour_counts (hour, messages) VALUES (substr(new.ts, 1, 13) || ':00:00.000000', 1)
            ON CONFLICT (hour) DO UPDATE SET messages = messages + 1;
        UPDATE totals SET messages = messages + 1;
    END
    """,
    """
    CREATE TRIGGER count_deleted_message AFTER DELETE ON messages BEGIN
        UPDATE sender_counts SET messages = messages - 1 WHERE sender = old.sender;
        DELETE FROM sender_counts WHERE sender = old.sender AND messages = 0;
        UPDATE hour_counts SET messages = messages - 1 WHERE hour = substr(old.ts, 1, 13) || ':00:00.000000';
        DELETE FROM hour_counts WHERE hour = substr(old.ts, 1, 13) || ':00:00.000000' AND messages = 0;
        UPDATE totals SET messages = messages - 1;
    END
    """,
    """
    CREATE TRIGGER count_new_sender AFTER INSERT ON sender_counts BEGIN
        UPDATE totals SET senders = senders + 1;
    END
    """,
    """
    CREATE TRIGGER count_gone_sender AFTER DELETE ON sender_counts BEGIN
        UPDATE totals SET senders = senders - 1;
    END
    """,
)

# These run once for each statement, so that a batch costs one upsert for each sender and hour in it. The order is
# always the same, so that no two transactions wait for each other.
POSTGRESQL_TRIGGERS = (
    """
    CREATE FUNCTION count_messages() RETURNS trigger LANGUAGE plpgsql AS $$
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
        INSERT INTO hour_counts AS counts (hour, messages)
            SELECT date_trunc('hour', ts, 'UTC'), step * count(*) FROM changed GROUP BY 1 ORDER BY 1
            ON CONFLICT (hour) DO UPDATE SET messages = counts.messages + excluded.messages;
        IF TG_OP = 'DELETE' THEN
            DELETE FROM sender_counts WHERE messages = 0 AND sender IN (SELECT sender FROM changed);
            DELETE FROM hour_counts
                WHERE messages = 0 AND hour IN (SELECT date_trunc('hour', ts, 'UTC') FROM changed);
        END IF;
        RETURN NULL;
    END
    $$
    """,
    """
    CREATE TRIGGER count_stored_messages AFTER INSERT ON messages
        REFERENCING NEW TABLE AS changed FOR EACH STATEMENT EXECUTE FUNCTION count_messages()
    """,
    """
    CREATE TRIGGER count_deleted_messages AFTER DELETE ON messages
        REFERENCING OLD TABLE AS changed FOR EACH STATEMENT EXECUTE FUNCTION count_messages()
    """,
)


def upgrade() -> None:
    _make_tables()
    on_postgresql = op.get_bind().dialect.name == "postgresql"
    _count_what_is_there("date_trunc('hour', ts, 'UTC')" if on_postgresql else "substr(ts, 1, 13) || ':00:00.000000'")
    for trigger in POSTGRESQL_TRIGGERS if on_postgresql else SQLITE_TRIGGERS:
        op.execute(trigger)


def _make_tables() -> None:
    op.create_table(
        "sender_counts",
        sa.Column("sender", sa.String(255).with_variant(sa.String(255, collation="C"), "postgresql"), primary_key=True),
        sa.Column("messages", sa.BigInteger, nullable=False),
        sqlite_with_rowid=False,
    )
    op.create_index("ix_sender_counts_by_messages", "sender_counts", [sa.text("messages DESC"), "sender"])
    op.create_table(
        "hour_counts",
        sa.Column("hour", sa.DateTime(timezone=True), primary_key=True),
        sa.Column("messages", sa.BigInteger, nullable=False),
        sqlite_with_rowid=False,
    )
    op.create_table(
        "totals",
        sa.Column("id", sa.Integer, primary_key=True, autoincrement=False),
        sa.Column("messages", sa.BigInteger, nullable=False),
        sa.Column("senders", sa.BigInteger, nullable=False),
    )


def _count_what_is_there(hour: str) -> None:
    op.execute("INSERT INTO sender_counts (sender, messages) SELECT sender, count(*) FROM messages GROUP BY sender")
    op.execute(f"INSERT INTO hour_counts (hour, messages) SELECT {hour}, count(*) FROM messages GROUP BY 1")  # noqa: S608  # an expression of our own
    op.execute(
        "INSERT INTO totals (id, messages, senders)"
        " SELECT 1, (SELECT count(*) FROM messages), (SELECT count(*) FROM sender_counts)"
    )
