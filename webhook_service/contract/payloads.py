"""The payloads of WhatsApp and Twilio, as far as the service reads them; both may hold more.

WhatsApp: https://developers.facebook.com/documentation/business-messaging/whatsapp/webhooks/reference/messages
Twilio: https://www.twilio.com/docs/messaging/guides/webhook-request
"""

from typing import Any

from webhook_service.domain.limits import MESSAGE_ID_MAX, PARTY_MAX, WORD_MAX
from webhook_service.providers.whatsapp import OBJECT

Schema = dict[str, Any]


def _text(description: str | None = None, *, longest: int | None = None) -> Schema:
    schema: Schema = {"type": "string"}
    if longest is not None:
        schema["maxLength"] = longest
    if description is not None:
        schema["description"] = description
    return schema


def _object(properties: Schema, *required: str, description: str | None = None) -> Schema:
    schema: Schema = {"type": "object", "properties": properties}
    if required:
        schema["required"] = list(required)
    if description is not None:
        schema["description"] = description
    return schema


def _list(items: Schema, description: str | None = None) -> Schema:
    return {"type": "array", "items": items, **({} if description is None else {"description": description})}


_WHATSAPP_MESSAGE = _object(
    {
        "id": _text("The `message_id`.", longest=MESSAGE_ID_MAX),
        "from": _text("The sender's number without a plus; absent where Meta withholds it.", longest=PARTY_MAX),
        "from_user_id": _text("The sender's business-scoped ID.", longest=PARTY_MAX),
        "timestamp": _text("Seconds since 1970."),
        "type": _text("`text`, `image`, … ; each type has an object of its name beside it.", longest=WORD_MAX),
        "text": _object({"body": _text()}),
    },
    description="An incoming message.",
)
_WHATSAPP_STATUS = _object(
    {
        "id": _text("The `message_id` of the outgoing message.", longest=MESSAGE_ID_MAX),
        "status": _text("`sent`, `delivered`, `read`, `failed` or a new one.", longest=WORD_MAX),
        "timestamp": _text("Seconds since 1970."),
        "recipient_id": _text("The recipient's number without a plus.", longest=PARTY_MAX),
        "errors": _list(_object({"code": {"type": "integer"}, "title": _text()})),
    },
    description="A status of an outgoing message, stored as a receipt.",
)
_WHATSAPP_VALUE = _object(
    {
        "messaging_product": _text(),
        "metadata": _object({"display_phone_number": _text("The recipient's number."), "phone_number_id": _text()}),
        "contacts": _list(_object({"wa_id": _text(), "profile": _object({"name": _text()})})),
        "messages": _list(_WHATSAPP_MESSAGE),
        "statuses": _list(_WHATSAPP_STATUS),
        "errors": _list({"type": "object"}, "Errors of Meta's own."),
    }
)
WHATSAPP_PAYLOAD: Schema = _object(
    {
        "object": {"type": "string", "const": OBJECT},
        "entry": _list(
            _object(
                {
                    "id": _text("The WhatsApp Business account."),
                    "changes": _list(_object({"field": _text("`messages`."), "value": _WHATSAPP_VALUE})),
                }
            )
        ),
    },
    "object",
    "entry",
    description="A batch of incoming messages and statuses.",
)
WHATSAPP_EXAMPLE: Schema = {
    "object": OBJECT,
    "entry": [
        {
            "id": "102290129340398",
            "changes": [
                {
                    "field": "messages",
                    "value": {
                        "messaging_product": "whatsapp",
                        "metadata": {"display_phone_number": "15550783881", "phone_number_id": "106540352242922"},
                        "contacts": [{"profile": {"name": "Garden Customer"}, "wa_id": "15550100101"}],
                        "messages": [
                            {
                                "from": "15550100101",
                                "id": "wamid.HBgL",
                                "timestamp": "1739321024",
                                "type": "text",
                                "text": {"body": "Does it come in another color?"},
                            }
                        ],
                    },
                }
            ],
        }
    ],
}

TWILIO_PAYLOAD: Schema = _object(
    {
        "MessageSid": _text("The `message_id`.", longest=MESSAGE_ID_MAX),
        "From": _text("`+49…`, `whatsapp:+49…`, a short code or a name.", longest=PARTY_MAX),
        "To": _text("The same of the recipient.", longest=PARTY_MAX),
        "Body": _text("The text of a message."),
        "SmsStatus": _text("`received` for an incoming message.", longest=WORD_MAX),
        "MessageStatus": _text("`queued`, `sent`, `delivered`, … for an outgoing one.", longest=WORD_MAX),
        "MessageType": _text(longest=WORD_MAX),
        "NumMedia": _text("How many `MediaUrl0`, `MediaContentType0` … there are."),
        "MediaContentType0": _text(),
        "ErrorCode": _text("Why an outgoing message failed."),
        "ErrorMessage": _text(),
    },
    "MessageSid",
    description="An incoming message, or a status of an outgoing one.",
)
TWILIO_EXAMPLE: Schema = {
    "MessageSid": "SM00000000000000000000000000000000",
    "From": "+4915112345678",
    "To": "+4930123456",
    "Body": "Hello",
    "SmsStatus": "received",
    "NumMedia": "0",
}

NATIVE_EXAMPLE: Schema = {
    "message_id": "m1",
    "from": "+4915112345678",
    "to": "+4930123456",
    "ts": "2026-01-15T10:00:00Z",
    "text": "Hello",
}
