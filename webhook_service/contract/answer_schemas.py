"""Schemas of the JSON in the answers of calls.

For speed, plain functions make the answers; tests validate what they make against these schemas.
"""

from marshmallow import EXCLUDE, Schema, fields, validate

from webhook_service.domain.activity import DeliveryOutcome
from webhook_service.domain.statistics import Interval
from webhook_service.schemas.fields import TimestampField

_SOURCE = "The configured sender that it came from."
_EXTRA = "What the provider sent beside the fields that have a name here."


class AnswerSchema(Schema):
    """An answer, to which later releases may add fields."""

    class Meta:
        unknown = EXCLUDE


class ErrorSchema(AnswerSchema):
    """The common form of errors."""

    detail = fields.String(required=True, metadata={"example": "not found"})


class InvalidSchema(ErrorSchema):
    """An error that names the fields at fault."""

    errors = fields.Dict(
        keys=fields.String(),
        values=fields.List(fields.String(), validate=validate.Length(min=1)),
        required=True,
        metadata={
            "description": "What is wrong with each field or parameter, by its name.",
            "example": {"limit": ["Must be greater than or equal to 1 and less than or equal to 100."]},
        },
    )


class StatusSchema(AnswerSchema):
    """Success with nothing more to say."""

    status = fields.String(required=True, validate=validate.Equal("ok"), metadata={"example": "ok"})


class ReadySchema(StatusSchema):
    """The answer of a service that can store deliveries."""

    warnings = fields.List(fields.String())


class MessageSchema(AnswerSchema):
    """A message as it is stored."""

    message_id = fields.String(required=True, metadata={"example": "m1"})
    sender = fields.String(required=True, data_key="from", metadata={"example": "+4915112345678"})
    recipient = fields.String(required=True, data_key="to", metadata={"example": "+4930123456"})
    ts = TimestampField(
        required=True, metadata={"description": "The sender's time.", "example": "2026-01-15T10:00:00Z"}
    )
    text = fields.String(required=True, allow_none=True, metadata={"example": "Hello"})
    source = fields.String(required=True, metadata={"description": _SOURCE, "example": "native"})
    provider = fields.String(required=True, metadata={"example": "native"})
    type = fields.String(required=True, metadata={"example": "text"})
    received_at = TimestampField(
        required=True, metadata={"description": "When it arrived.", "example": "2026-01-15T10:00:01.250000Z"}
    )
    extra = fields.Dict(keys=fields.String(), metadata={"description": _EXTRA})
    test = fields.Boolean(
        validate=validate.Equal(True),
        metadata={"description": "A test message, which feed, export, consumers and destinations leave out."},
    )


class ReceiptSchema(AnswerSchema):
    """A provider's status update on an outgoing message."""

    message_id = fields.String(required=True, metadata={"example": "wamid.HBgL"})
    status = fields.String(required=True, metadata={"example": "delivered"})
    recipient = fields.String(required=True, metadata={"example": "+4915112345678"})
    ts = TimestampField(
        required=True, metadata={"description": "The provider's time.", "example": "2026-01-15T10:00:00Z"}
    )
    source = fields.String(required=True, metadata={"description": _SOURCE, "example": "berlin"})
    provider = fields.String(required=True, metadata={"example": "whatsapp"})
    received_at = TimestampField(required=True, metadata={"example": "2026-01-15T10:00:01.250000Z"})
    error = fields.String(metadata={"description": "The provider's own error.", "example": "131026: Undeliverable"})
    extra = fields.Dict(keys=fields.String(), metadata={"description": _EXTRA})


class DuplicatesSchema(AnswerSchema):
    """How often a message came again after it was stored. Workers write that once a second."""

    count = fields.Integer(required=True, metadata={"example": 2})
    last_at = TimestampField(
        required=True, allow_none=True, metadata={"description": "When it last did.", "example": "2026-01-15T10:05:00Z"}
    )


class MessageWithReceiptsSchema(MessageSchema):
    """A message and what became of it."""

    duplicates = fields.Nested(DuplicatesSchema, required=True)
    receipts = fields.List(
        fields.Nested(ReceiptSchema),
        required=True,
        metadata={"description": "The first 100; `/receipts` pages through all."},
    )


class PageAnswerSchema(AnswerSchema):
    """A page of a list, with the cursor of the next page."""

    next_cursor = fields.String(
        required=True, allow_none=True, metadata={"description": "`cursor` of the next page; null at the end."}
    )


class MessagePageSchema(PageAnswerSchema):
    """A page of messages."""

    data = fields.List(fields.Nested(MessageSchema), required=True)
    total = fields.Integer(
        required=True, allow_none=True, metadata={"description": "Messages on all pages; null with a `cursor`."}
    )
    limit = fields.Integer(required=True)
    offset = fields.Integer(required=True)


class ReceiptPageSchema(PageAnswerSchema):
    """A page of receipts."""

    data = fields.List(fields.Nested(ReceiptSchema), required=True)


class AgedSchema(AnswerSchema):
    """An answer that a replica may give."""

    age_seconds = fields.Float(
        allow_none=True,
        metadata={
            "description": "Where reads go to a replica: how old the answer is at most; 0 when the replica has caught"
            " up, null when it can't know."
        },
    )


class FeedPageSchema(AgedSchema):
    """Messages in stored order."""

    data = fields.List(fields.Nested(MessageSchema), required=True)
    next = fields.String(
        required=True, metadata={"description": "`after` of the next call; always there.", "example": "73lHPWBItzFbMV0"}
    )


class SenderCountSchema(AnswerSchema):
    """The number of messages of a sender."""

    sender = fields.String(required=True, data_key="from", metadata={"example": "+4915112345678"})
    count = fields.Integer(required=True)


class StatsSchema(AgedSchema):
    """The totals of the store."""

    total_messages = fields.Integer(required=True)
    senders_count = fields.Integer(required=True)
    messages_per_sender = fields.List(
        fields.Nested(SenderCountSchema),
        required=True,
        validate=validate.Length(max=10),
        metadata={"description": "The ten busiest senders."},
    )
    first_message_ts = TimestampField(required=True, allow_none=True)
    last_message_ts = TimestampField(required=True, allow_none=True)


class IntervalCountSchema(AnswerSchema):
    """The number of messages in an interval."""

    start = TimestampField(required=True)
    count = fields.Integer(required=True)


class TimelineSchema(AgedSchema):
    """Counts over time, empty intervals included."""

    interval = fields.Enum(Interval, by_value=True, required=True)
    since = TimestampField(required=True)
    until = TimestampField(required=True)
    data = fields.List(fields.Nested(IntervalCountSchema), required=True)


class QuarantinedSchema(AnswerSchema):
    """A quarantined delivery without its body."""

    id = fields.Integer(required=True)
    source = fields.String(required=True, metadata={"description": _SOURCE, "example": "berlin"})
    provider = fields.String(required=True, metadata={"example": "whatsapp"})
    reason = fields.String(required=True, metadata={"example": "invalid_fields"})
    problems = fields.Dict(
        keys=fields.String(),
        values=fields.List(fields.String()),
        required=True,
        metadata={
            "description": "What was not understood, by its path in the payload.",
            "example": {"entry[0].changes[0]": ["unknown_field"]},
        },
    )
    first_at = TimestampField(required=True)
    last_at = TimestampField(required=True)
    count = fields.Integer(required=True, metadata={"description": "How often it came."})
    size = fields.Integer(required=True, metadata={"description": "Bytes of the body."})


class QuarantinedWholeSchema(QuarantinedSchema):
    """A quarantined delivery, whole."""

    target = fields.String(required=True, metadata={"description": "Path and query as they were called."})
    headers = fields.Dict(keys=fields.String(), values=fields.String(), required=True)
    body = fields.String(required=True, allow_none=True, metadata={"description": "Null where it is not UTF-8."})
    body_base64 = fields.String(required=True)


class SecretSchema(AnswerSchema):
    """A secret of a source, by its label."""

    label = fields.String(required=True, metadata={"example": "current"})
    until = TimestampField(required=True, allow_none=True, metadata={"description": "What it signs later is refused."})
    last_matched_at = TimestampField(
        required=True,
        allow_none=True,
        metadata={"description": "When it last signed, to the minute; null in a source that has no other secret."},
    )
    may_go = fields.Boolean(required=True, metadata={"description": "The source can do without it."})


class SetupSchema(AnswerSchema):
    """A guide to setting up a source at its provider."""

    place = fields.String(required=True, metadata={"description": "Where, in the provider's own words."})
    address_field = fields.String(required=True, metadata={"description": "The field that takes the address."})
    fields_ = fields.Dict(
        keys=fields.String(),
        values=fields.String(),
        required=True,
        data_key="fields",
        metadata={"description": "What goes into other fields."},
    )


class SourceSchema(AnswerSchema):
    """A configured source."""

    name = fields.String(required=True, metadata={"example": "native"})
    provider = fields.String(required=True, metadata={"example": "native"})
    address = fields.String(required=True, metadata={"example": "/webhook"})
    last_delivery_at = TimestampField(required=True, allow_none=True)
    last_day = fields.Dict(
        keys=fields.String(validate=validate.OneOf([outcome.value for outcome in DeliveryOutcome])),
        values=fields.Integer(),
        required=True,
        metadata={
            "description": "Deliveries by outcome.",
            "example": {outcome.value: 0 for outcome in DeliveryOutcome},
        },
    )
    secrets = fields.List(fields.Nested(SecretSchema), required=True)
    setup = fields.Nested(SetupSchema, required=True)


class SourcesSchema(AnswerSchema):
    """All sources, by name."""

    data = fields.List(fields.Nested(SourceSchema), required=True)


class QuarantinePageSchema(PageAnswerSchema):
    """A page of the quarantine."""

    data = fields.List(fields.Nested(QuarantinedSchema), required=True)


class ReplayedSchema(StatusSchema):
    """The outcomes of the items of a replayed delivery."""

    created = fields.Integer(required=True)
    duplicate = fields.Integer(required=True)
    conflict = fields.Integer(required=True)


class ReplayedManySchema(AnswerSchema):
    """The results of replaying a page: deliveries released and still in quarantine, and items by outcome."""

    released = fields.Integer(required=True)
    quarantined = fields.Integer(required=True)
    created = fields.Integer(required=True)
    duplicate = fields.Integer(required=True)
    conflict = fields.Integer(required=True)
    next_cursor = fields.String(required=True, allow_none=True)


class ReplayRefusedSchema(InvalidSchema):
    """A replay that failed, wholly or in part; when a parameter is bad, it has no numbers."""

    created = fields.Integer()
    duplicate = fields.Integer()
    conflict = fields.Integer()
