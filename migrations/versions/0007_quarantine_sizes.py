"""The sizes of each provider's quarantine, which triggers keep exact in every transaction.

Revision ID: 0007
"""

import sqlalchemy as sa
from alembic import op

revision = "0007"
down_revision = "0006"

# Bytes of a row: its values, and 1 KiB for its index entries, its times and its problems, of which there are few.
SQLITE_SIZE = "length({0}raw) + length(CAST({0}headers AS BLOB)) + length(CAST({0}target AS BLOB)) + 1024"
POSTGRESQL_SIZE = "octet_length(raw) + octet_length(headers::text) + octet_length(target) + 1024"

SQLITE_TRIGGERS = (
    f"""
    CREATE TRIGGER measure_kept_delivery AFTER INSERT ON quarantine BEGIN
        INSERT INTO quarantine_sizes (provider, deliveries, bytes)
            VALUES (new.provider, 1, {SQLITE_SIZE.format("new.")})
            ON CONFLICT (provider) DO UPDATE SET deliveries = deliveries + 1, bytes = bytes + excluded.bytes;
    END
    """,  # noqa: S608  # an expression of our own
    f"""
    CREATE TRIGGER measure_gone_delivery AFTER DELETE ON quarantine BEGIN
        UPDATE quarantine_sizes SET deliveries = deliveries - 1, bytes = bytes - ({SQLITE_SIZE.format("old.")})
            WHERE provider = old.provider;
    END
    """,  # noqa: S608  # an expression of our own
)

# These run once for each statement, so that deleting a batch changes the one row of a provider once.
POSTGRESQL_TRIGGERS = (
    f"""
    CREATE FUNCTION measure_quarantine() RETURNS trigger LANGUAGE plpgsql AS $$
    DECLARE
        step integer := CASE TG_OP WHEN 'INSERT' THEN 1 ELSE -1 END;
    BEGIN
        INSERT INTO quarantine_sizes AS sizes (provider, deliveries, bytes)
            SELECT provider, step * count(*), step * sum({POSTGRESQL_SIZE}) FROM changed GROUP BY provider ORDER BY 1
            ON CONFLICT (provider) DO UPDATE SET
                deliveries = sizes.deliveries + excluded.deliveries,
                bytes = sizes.bytes + excluded.bytes;
        RETURN NULL;
    END
    $$
    """,  # noqa: S608  # likewise
    """
    CREATE TRIGGER measure_kept_deliveries AFTER INSERT ON quarantine
        REFERENCING NEW TABLE AS changed FOR EACH STATEMENT EXECUTE FUNCTION measure_quarantine()
    """,
    """
    CREATE TRIGGER measure_gone_deliveries AFTER DELETE ON quarantine
        REFERENCING OLD TABLE AS changed FOR EACH STATEMENT EXECUTE FUNCTION measure_quarantine()
    """,
)


def upgrade() -> None:
    on_postgresql = op.get_bind().dialect.name == "postgresql"
    op.create_table(
        "quarantine_sizes",
        sa.Column("provider", sa.String(32).with_variant(sa.String(32, collation="C"), "postgresql"), primary_key=True),
        sa.Column("deliveries", sa.BigInteger, nullable=False),
        sa.Column("bytes", sa.BigInteger, nullable=False),
        sqlite_with_rowid=False,
    )
    size = POSTGRESQL_SIZE if on_postgresql else SQLITE_SIZE.format("")
    op.execute(
        f"INSERT INTO quarantine_sizes SELECT provider, count(*), sum({size}) FROM quarantine GROUP BY provider"  # noqa: S608  # names of our own
    )
    for trigger in POSTGRESQL_TRIGGERS if on_postgresql else SQLITE_TRIGGERS:
        op.execute(trigger)
