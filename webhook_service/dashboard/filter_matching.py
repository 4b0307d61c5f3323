"""New messages: decides which of them an open list would show."""

from webhook_service.domain.messages import MessageFilter, StoredMessage
from webhook_service.domain.search import fold


def matches(message: StoredMessage, wanted: MessageFilter) -> bool:
    """Tells whether a message passes a filter, and so belongs in the list, by the same rules as the database."""
    return (
        wanted.sender in {None, message.sender}
        and wanted.recipient in {None, message.recipient}
        and wanted.source in {None, message.source}
        and wanted.provider in {None, message.provider}
        and wanted.type in {None, message.type}
        and (wanted.since is None or message.ts >= wanted.since)
        and (wanted.until is None or message.ts < wanted.until)
        and (wanted.q is None or (message.text is not None and fold(wanted.q) in fold(message.text)))
    )
