"""Messages to be exported."""

from datetime import timedelta

from tests.support.messages import MOMENT, message
from webhook_service.domain.messages import Message
from webhook_service.storage.database import Database
from webhook_service.storage.queries.batches import BATCH
from webhook_service.storage.queries.messages import encode_message, insert_messages

SECOND = timedelta(seconds=1)
ODD = [
    message(
        "é/1",
        text='=HYPERLINK("http://evil")\r\n"quoted", comma',
        type="image",
        provider="whatsapp",
        extra={"ä": [1, {"b": "\u0000"}]},
    ),
    message("é/2", text=None, ts=MOMENT + SECOND, received_at=MOMENT.replace(microsecond=5)),
    message("é/3", text="", sender="Support", ts=MOMENT + SECOND * 2),
]


def store(database: Database, *messages: Message) -> None:
    with database.transaction() as transaction:
        insert_messages(transaction, [encode_message(each) for each in messages])


def store_many(database: Database, number: int = 2 * BATCH + 500) -> list[str]:
    store(
        database,
        *(
            message(f"{at:05}", ts=MOMENT + SECOND * (at // 3), sender=f"+{at % 2}", text=f"{at}")
            for at in range(number)
        ),
    )
    return [f"{at:05}" for at in range(number)]
