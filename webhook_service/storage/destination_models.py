"""The tables of destinations, beside those of ``models.py``."""

from datetime import datetime
from typing import Any

from sqlalchemy import JSON, BigInteger, ForeignKey, Index, Integer, UniqueConstraint
from sqlalchemy.orm import Mapped, mapped_column

from webhook_service.domain.limits import PARTY_MAX
from webhook_service.storage.consumer_models import consumer_id
from webhook_service.storage.models import Base, MessageRow, UtcDateTime, bytewise, growing_id


class DestinationRow(Base):
    """The health of a destination, which all forwarders share; the consumer's row has its name and its place."""

    __tablename__ = "destinations"

    consumer_id: Mapped[int] = mapped_column(
        BigInteger, ForeignKey("consumers.id", ondelete="CASCADE"), primary_key=True, autoincrement=False
    )
    state: Mapped[str] = mapped_column(bytewise(16))
    failures: Mapped[int] = mapped_column(BigInteger)
    probes: Mapped[int] = mapped_column(Integer)
    paused_at: Mapped[datetime | None] = mapped_column(UtcDateTime)
    held_until: Mapped[datetime | None] = mapped_column(UtcDateTime)
    next_slot: Mapped[datetime | None] = mapped_column(UtcDateTime)
    pushed: Mapped[int] = mapped_column(BigInteger)
    failed: Mapped[int] = mapped_column(BigInteger)
    last_pushed_at: Mapped[datetime | None] = mapped_column(UtcDateTime)
    last_failed_at: Mapped[datetime | None] = mapped_column(UtcDateTime)
    last_failure: Mapped[str | None] = mapped_column(bytewise(32))
    last_status: Mapped[int | None] = mapped_column(Integer)


class RetryRow(Base):
    """A message that a destination has not taken yet, or one behind such a message of the same sender.

    It is tried again from ``next_at`` on, by the forwarder that has taken it until ``taken_until``. The row is deleted
    with its message.
    """

    __tablename__ = "retries"
    __table_args__ = (
        UniqueConstraint("consumer_id", "feed_id"),
        Index(None, "consumer_id", "next_at"),
        Index(None, "consumer_id", "sender", "feed_id"),
        Index(None, "feed_id"),
        {"sqlite_autoincrement": True},
    )

    id: Mapped[int] = growing_id()
    consumer_id: Mapped[int] = consumer_id()
    feed_id: Mapped[int] = mapped_column(BigInteger, ForeignKey(MessageRow.id, ondelete="CASCADE"))
    sender: Mapped[str] = mapped_column(bytewise(PARTY_MAX))
    attempts: Mapped[list[dict[str, Any]]] = mapped_column(JSON)
    first_at: Mapped[datetime | None] = mapped_column(UtcDateTime)
    next_at: Mapped[datetime | None] = mapped_column(UtcDateTime)
    taken_until: Mapped[datetime | None] = mapped_column(UtcDateTime)
