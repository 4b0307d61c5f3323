"""The tables of consumers, beside those of ``models.py``."""

from datetime import datetime
from typing import Any

from sqlalchemy import JSON, BigInteger, ForeignKey, Index, Integer, Text, UniqueConstraint
from sqlalchemy.orm import Mapped, mapped_column

from webhook_service.domain.limits import CONSUMER_NAME_MAX, TOKEN_MAX
from webhook_service.storage.models import Base, MessageRow, UtcDateTime, bytewise, growing_id


def consumer_id() -> Mapped[int]:
    return mapped_column(BigInteger, ForeignKey("consumers.id", ondelete="CASCADE"))


class ConsumerRow(Base):
    """A reader of the feed, which it was given up to the id ``handed``, without what its filter passes over."""

    __tablename__ = "consumers"
    __table_args__ = (UniqueConstraint("kind", "name"), {"sqlite_autoincrement": True})

    id: Mapped[int] = growing_id()
    kind: Mapped[str] = mapped_column(bytewise(16))
    name: Mapped[str] = mapped_column(bytewise(CONSUMER_NAME_MAX))
    filter: Mapped[dict[str, str]] = mapped_column(JSON)
    handed: Mapped[int] = mapped_column(BigInteger)
    max_leases: Mapped[int] = mapped_column(Integer)
    max_attempts: Mapped[int] = mapped_column(Integer)
    created_at: Mapped[datetime] = mapped_column(UtcDateTime)


class StretchRow(Base):
    """Messages with an id above ``after`` and up to ``last`` that a consumer was given and has not acknowledged.

    ``attempt`` is how often they were given, and ``token`` names the lease that has them. They are given again from
    ``free_at`` on: when the lease expires or, if they were refused, after the pause that was asked for. ``given_at`` is
    the time from which ``free_at`` was reckoned. ``done`` are the ids of those among them that are done nevertheless;
    null is none.
    """

    __tablename__ = "stretches"
    __table_args__ = (
        Index(None, "consumer_id", "after"),
        Index(None, "consumer_id", "free_at"),
        {"sqlite_autoincrement": True},
    )

    id: Mapped[int] = growing_id()
    consumer_id: Mapped[int] = consumer_id()
    after: Mapped[int] = mapped_column(BigInteger)
    last: Mapped[int] = mapped_column(BigInteger)
    attempt: Mapped[int] = mapped_column(Integer)
    token: Mapped[str | None] = mapped_column(bytewise(TOKEN_MAX))
    given_at: Mapped[datetime] = mapped_column(UtcDateTime)
    free_at: Mapped[datetime] = mapped_column(UtcDateTime)
    reason: Mapped[str | None] = mapped_column(Text)
    done: Mapped[list[int] | None] = mapped_column(JSON(none_as_null=True))


class DeadLetterRow(Base):
    """A message that a consumer could not take. The row is deleted with its message, whoever deletes that."""

    __tablename__ = "dead_letters"
    __table_args__ = (
        UniqueConstraint("consumer_id", "feed_id"),
        Index(None, "consumer_id", "id"),
        Index(None, "feed_id"),
        {"sqlite_autoincrement": True},
    )

    id: Mapped[int] = growing_id()
    consumer_id: Mapped[int] = consumer_id()
    feed_id: Mapped[int] = mapped_column(BigInteger, ForeignKey(MessageRow.id, ondelete="CASCADE"))
    reason: Mapped[str] = mapped_column(Text)
    attempts: Mapped[list[dict[str, Any]]] = mapped_column(JSON)
    created_at: Mapped[datetime] = mapped_column(UtcDateTime)
