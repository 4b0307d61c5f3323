"""Messages in the order in which they were stored.

Writers take turns for a whole transaction, on SQLite by its one writer and on PostgreSQL by the advisory lock, and an
id is given inside a turn. So ids become visible in the order in which they are given, by however many nodes, and no
message with a smaller id can appear after a larger one was read.
"""

from collections.abc import Sequence

from sqlalchemy import Connection

from webhook_service.domain import StoredMessage
from webhook_service.storage.messages import select_messages, to_messages
from webhook_service.storage.models import MessageRow


def read_feed(connection: Connection, after_id: int, limit: int) -> Sequence[StoredMessage]:
    """The first messages that were stored after the one with this id; 0 is before all."""
    page = select_messages().where(MessageRow.id > after_id).order_by(MessageRow.id).limit(limit)
    return to_messages(connection.execute(page))
