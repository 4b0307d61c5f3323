"""The tables. The schema itself comes from ``migrations/``; a test compares the two.

The counts and sizes are kept by triggers on ``messages`` and ``quarantine``, so nothing here ever writes them.
"""

from collections.abc import Callable, Iterable
from datetime import UTC, datetime
from typing import Any

from sqlalchemy import (
    JSON,
    BigInteger,
    Boolean,
    ColumnElement,
    DateTime,
    Dialect,
    ForeignKey,
    Identity,
    Index,
    Integer,
    LargeBinary,
    MetaData,
    String,
    Text,
    UniqueConstraint,
    cast,
    func,
    text,
)
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column
from sqlalchemy.sql.base import ReadOnlyColumnCollection
from sqlalchemy.sql.elements import KeyedColumnElement
from sqlalchemy.types import TypeDecorator

from webhook_service.domain.limits import (
    MESSAGE_ID_MAX,
    PARTY_MAX,
    PROVIDER_MAX,
    SOURCE_MAX,
    WORD_MAX,
)

NAMING_CONVENTION = {
    "ix": "ix_%(table_name)s_%(column_0_N_name)s",
    "uq": "uq_%(table_name)s_%(column_0_N_name)s",
    "ck": "ck_%(table_name)s_%(constraint_name)s",
    "fk": "fk_%(table_name)s_%(column_0_N_name)s_%(referred_table_name)s",
    "pk": "pk_%(table_name)s",
}


TYPE_IS_NOT_TEXT = "type <> 'text'"
"""The condition of the index of types. It leaves out texts, which most messages are, so these cost nothing."""


class UtcDateTime(TypeDecorator[datetime]):
    """An aware datetime in UTC, exact to the microsecond on both SQLite (as text) and PostgreSQL (timestamptz)."""

    impl = DateTime(timezone=True)
    cache_ok = True

    def process_bind_param(self, value: datetime | None, dialect: Dialect) -> datetime | None:
        if value is None or dialect.name != "sqlite":
            return value
        return value.astimezone(UTC).replace(tzinfo=None)

    def result_processor(self, dialect: Dialect, coltype: object) -> Callable[[Any], datetime | None]:  # noqa: ARG002  # SQLAlchemy's
        return _from_text if dialect.name == "sqlite" else _in_utc


def _from_text(value: str | None) -> datetime | None:
    # An export reads two of these a message. Parsing a text with a zone is faster than replacing a datetime's zone.
    return None if value is None else datetime.fromisoformat(f"{value}+00:00")


def _in_utc(value: datetime | None) -> datetime | None:
    return None if value is None else value.astimezone(UTC)


def bytewise(length: int) -> String:
    """Returns a type of text that both databases compare and order by bytes, whatever the locale of the server."""
    return String(length).with_variant(String(length, collation="C"), "postgresql")


def growing_id() -> Mapped[int]:
    return mapped_column(BigInteger().with_variant(Integer, "sqlite"), Identity(), primary_key=True)


class Base(DeclarativeBase):
    metadata = MetaData(naming_convention=NAMING_CONVENTION)


def _source() -> Mapped[str]:
    return mapped_column(bytewise(SOURCE_MAX))


def _provider() -> Mapped[str | None]:
    """Makes the column of a provider's name, which is null where the source is named like its provider."""
    return mapped_column(bytewise(PROVIDER_MAX))


def read_columns(row: type[Base], names: Iterable[str]) -> list[ColumnElement[Any]]:
    """Returns the columns with these names for a select; JSON columns are read as text, without parsing.

    A provider that is null is read as the name of the source.
    """
    return [_read_column(row.__table__.columns, name) for name in names]


def _read_column(columns: ReadOnlyColumnCollection[str, KeyedColumnElement[Any]], name: str) -> ColumnElement[Any]:
    column = columns[name]
    if name == "provider":
        return func.coalesce(column, columns["source"]).label(name)
    return cast(column, Text).label(name) if isinstance(column.type, JSON) else column


class MessageRow(Base):
    """One message. ``id`` only ever grows; ``text_folded`` is the text with its case folded, for searches.

    docs/decisions/0009 says why ``provider`` is null where the source is named like it. ``is_test`` is null for all but
    a test message.
    """

    __tablename__ = "messages"
    __table_args__ = (
        UniqueConstraint("message_id"),
        Index(None, "ts", "message_id"),
        Index(None, "sender", "ts", "message_id"),
        Index(None, "recipient", "ts", "message_id"),
        Index(None, "source", "ts", "message_id"),
        Index(
            None,
            "provider",
            "ts",
            "message_id",
            sqlite_where=text("provider IS NOT NULL"),
            postgresql_where=text("provider IS NOT NULL"),
        ),
        Index(
            None,
            "type",
            "ts",
            "message_id",
            sqlite_where=text(TYPE_IS_NOT_TEXT),
            postgresql_where=text(TYPE_IS_NOT_TEXT),
        ),
        {"sqlite_autoincrement": True},
    )

    id: Mapped[int] = growing_id()
    message_id: Mapped[str] = mapped_column(bytewise(MESSAGE_ID_MAX))
    source: Mapped[str] = _source()
    provider: Mapped[str | None] = _provider()
    sender: Mapped[str] = mapped_column(bytewise(PARTY_MAX))
    recipient: Mapped[str] = mapped_column(bytewise(PARTY_MAX))
    ts: Mapped[datetime] = mapped_column(UtcDateTime)
    text: Mapped[str | None] = mapped_column(Text)
    text_folded: Mapped[str | None] = mapped_column(Text)
    type: Mapped[str] = mapped_column(bytewise(WORD_MAX))
    extra: Mapped[dict[str, Any] | None] = mapped_column(JSON(none_as_null=True))
    received_at: Mapped[datetime] = mapped_column(UtcDateTime)
    is_test: Mapped[bool | None] = mapped_column(Boolean)


class DuplicatesRow(Base):
    """How often a message came again; only for those that did. The row is deleted with its message."""

    __tablename__ = "duplicates"

    feed_id: Mapped[int] = mapped_column(
        BigInteger().with_variant(Integer, "sqlite"),
        ForeignKey(MessageRow.id, ondelete="CASCADE"),
        primary_key=True,
        autoincrement=False,
    )
    count: Mapped[int] = mapped_column(BigInteger)
    last_at: Mapped[datetime] = mapped_column(UtcDateTime)


class ReceiptRow(Base):
    """One status of an outgoing message, as its provider reported it; all are kept, so a later one hides no other."""

    __tablename__ = "receipts"
    __table_args__ = (
        UniqueConstraint("message_id", "status", "recipient"),
        Index(None, "status", "id"),
        Index(None, "message_id", "id"),
        Index(None, "ts"),
        {"sqlite_autoincrement": True},
    )

    id: Mapped[int] = growing_id()
    message_id: Mapped[str] = mapped_column(bytewise(MESSAGE_ID_MAX))
    source: Mapped[str] = _source()
    provider: Mapped[str | None] = _provider()
    status: Mapped[str] = mapped_column(bytewise(WORD_MAX))
    recipient: Mapped[str] = mapped_column(bytewise(PARTY_MAX))
    ts: Mapped[datetime] = mapped_column(UtcDateTime)
    error: Mapped[str | None] = mapped_column(Text)
    extra: Mapped[dict[str, Any] | None] = mapped_column(JSON(none_as_null=True))
    received_at: Mapped[datetime] = mapped_column(UtcDateTime)


class QuarantineRow(Base):
    """One authentic delivery that could not be understood; ``count`` is how often it came."""

    __tablename__ = "quarantine"
    __table_args__ = (
        # This name is from before there were sources: SQLite can't rename a constraint.
        UniqueConstraint("source", "body_sha256", name="uq_quarantine_provider_body_sha256"),
        Index(None, "reason", "id"),
        {"sqlite_autoincrement": True},
    )

    id: Mapped[int] = growing_id()
    source: Mapped[str] = _source()
    provider: Mapped[str | None] = _provider()
    body_sha256: Mapped[str] = mapped_column(bytewise(64))  # hex digits
    raw: Mapped[bytes] = mapped_column(LargeBinary)
    headers: Mapped[dict[str, str]] = mapped_column(JSON)
    target: Mapped[str] = mapped_column(Text)
    reason: Mapped[str] = mapped_column(bytewise(WORD_MAX))
    problems: Mapped[dict[str, list[str]]] = mapped_column(JSON)
    first_at: Mapped[datetime] = mapped_column(UtcDateTime)
    last_at: Mapped[datetime] = mapped_column(UtcDateTime)
    count: Mapped[int] = mapped_column(BigInteger)


class QuarantineSizeRow(Base):
    """The number of deliveries of a source in quarantine, and the bytes that they take."""

    __tablename__ = "quarantine_sizes"
    __table_args__ = ({"sqlite_with_rowid": False},)

    source: Mapped[str] = mapped_column(bytewise(SOURCE_MAX), primary_key=True)
    deliveries: Mapped[int] = mapped_column(BigInteger)
    bytes: Mapped[int] = mapped_column(BigInteger)


class SecretUseRow(Base):
    """The time at which a secret, given by its label, last signed a delivery; only for sources with several secrets."""

    __tablename__ = "secret_uses"
    __table_args__ = ({"sqlite_with_rowid": False},)

    source: Mapped[str] = mapped_column(bytewise(SOURCE_MAX), primary_key=True)
    label: Mapped[str] = mapped_column(bytewise(SOURCE_MAX), primary_key=True)
    last_at: Mapped[datetime] = mapped_column(UtcDateTime)


class ActivityRow(Base):
    """The deliveries of a source with one outcome in the hour that begins at ``hour``: their number, and the latest."""

    __tablename__ = "activity"
    __table_args__ = (UniqueConstraint("source", "outcome", "hour"), Index(None, "hour"))

    id: Mapped[int] = growing_id()
    source: Mapped[str] = mapped_column(bytewise(SOURCE_MAX))
    outcome: Mapped[str] = mapped_column(bytewise(WORD_MAX))
    hour: Mapped[datetime] = mapped_column(UtcDateTime)
    count: Mapped[int] = mapped_column(BigInteger)
    last_at: Mapped[datetime] = mapped_column(UtcDateTime)
    last_reason: Mapped[str | None] = mapped_column(bytewise(WORD_MAX))
    last_hint: Mapped[str | None] = mapped_column(bytewise(WORD_MAX))


class SenderCountRow(Base):
    """The number of messages of a sender; there is a row only for a sender with at least one."""

    __tablename__ = "sender_counts"

    sender: Mapped[str] = mapped_column(bytewise(PARTY_MAX), primary_key=True)
    messages: Mapped[int] = mapped_column(BigInteger)

    __table_args__ = (
        Index("ix_sender_counts_by_messages", messages.desc(), sender),
        {"sqlite_with_rowid": False},
    )


class HourCountRow(Base):
    """The number of messages of a source whose ``ts`` is in the hour that begins at ``hour``; no row says zero."""

    __tablename__ = "hour_counts"
    __table_args__ = (Index(None, "source", "hour"), {"sqlite_with_rowid": False})

    hour: Mapped[datetime] = mapped_column(UtcDateTime, primary_key=True)
    source: Mapped[str] = mapped_column(bytewise(SOURCE_MAX), primary_key=True)
    messages: Mapped[int] = mapped_column(BigInteger)


class TotalsRow(Base):
    """The number of messages and of senders: one row, with ``id`` 1."""

    __tablename__ = "totals"

    id: Mapped[int] = mapped_column(Integer, primary_key=True, autoincrement=False)
    messages: Mapped[int] = mapped_column(BigInteger)
    senders: Mapped[int] = mapped_column(BigInteger)
