"""Messages belong to sources: the column that named a message's provider now names its source, index included.

No row is changed: the column of providers becomes that of sources, and a new column holds the providers; it is null
wherever the source is named like its provider. SQLite can't rename an index, so it builds that one anew.

Revision ID: 0008
"""

import sqlalchemy as sa
from alembic import op

revision = "0008"
down_revision = "0007"

NAME = sa.String(32).with_variant(sa.String(32, collation="C"), "postgresql")
TABLES = ("messages", "receipts", "quarantine")
WRITTEN = sa.text("provider IS NOT NULL")

# As in 0007. When a column is renamed, PostgreSQL does not change the bodies of functions; SQLite changes triggers.
POSTGRESQL_SIZE = "octet_length(raw) + octet_length(headers::text) + octet_length(target) + 1024"
POSTGRESQL_FUNCTION = f"""
    CREATE OR REPLACE FUNCTION measure_quarantine() RETURNS trigger LANGUAGE plpgsql AS $$
    DECLARE
        step integer := CASE TG_OP WHEN 'INSERT' THEN 1 ELSE -1 END;
    BEGIN
        INSERT INTO quarantine_sizes AS sizes (source, deliveries, bytes)
            SELECT source, step * count(*), step * sum({POSTGRESQL_SIZE}) FROM changed GROUP BY source ORDER BY 1
            ON CONFLICT (source) DO UPDATE SET
                deliveries = sizes.deliveries + excluded.deliveries,
                bytes = sizes.bytes + excluded.bytes;
        RETURN NULL;
    END
    $$
"""  # noqa: S608  # an expression of our own


def upgrade() -> None:
    for table in (*TABLES, "quarantine_sizes"):
        op.execute(f"ALTER TABLE {table} RENAME COLUMN provider TO source")
    for table in TABLES:
        op.add_column(table, sa.Column("provider", NAME))
    if op.get_bind().dialect.name == "postgresql":
        op.execute(POSTGRESQL_FUNCTION)
        op.execute("ALTER INDEX ix_messages_provider_ts_message_id RENAME TO ix_messages_source_ts_message_id")
    else:
        op.drop_index("ix_messages_provider_ts_message_id", "messages")
        op.create_index(op.f("ix_messages_source_ts_message_id"), "messages", ["source", "ts", "message_id"])
    op.create_table(
        "secret_uses",
        sa.Column("source", NAME, primary_key=True),
        sa.Column("label", NAME, primary_key=True),
        sa.Column("last_at", sa.DateTime(timezone=True), nullable=False),
        sqlite_with_rowid=False,
    )
    op.create_index(
        op.f("ix_messages_provider_ts_message_id"),
        "messages",
        ["provider", "ts", "message_id"],
        sqlite_where=WRITTEN,
        postgresql_where=WRITTEN,
    )
