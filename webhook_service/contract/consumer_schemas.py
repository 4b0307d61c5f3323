"""Schemas of the answers of calls about consumers and dead letters."""

from marshmallow import fields

from webhook_service.contract.answer_schemas import AnswerSchema, MessageSchema, PageAnswerSchema
from webhook_service.schemas.consumers import FilterSchema
from webhook_service.schemas.fields import TimestampField


class LagSchema(AnswerSchema):
    """The distance by which a consumer is behind."""

    messages = fields.Integer(required=True, metadata={"description": "Not acknowledged yet, up to 10,000."})
    is_exact = fields.Boolean(required=True, metadata={"description": "False where there may be more."})
    seconds = fields.Float(required=True, metadata={"description": "Since the oldest of them was received."})


class ConsumerSchema(AnswerSchema):
    """A consumer and how it is doing."""

    name = fields.String(required=True, metadata={"example": "crm"})
    filter = fields.Nested(FilterSchema, required=True)
    max_leases = fields.Integer(required=True)
    max_attempts = fields.Integer(required=True)
    created_at = TimestampField(required=True)
    place = fields.String(
        required=True,
        metadata={
            "description": "Up to here all is acknowledged: `after` of the feed gives what is not.",
            "example": "73lHPWBItzFbMV0",
        },
    )
    lag = fields.Nested(LagSchema, required=True)
    leases = fields.Integer(required=True, metadata={"description": "That have not expired."})
    dead_letters = fields.Integer(required=True)


class ConsumersSchema(AnswerSchema):
    """All consumers, by name."""

    data = fields.List(fields.Nested(ConsumerSchema), required=True)


class LeaseSchema(AnswerSchema):
    """Messages that are to be acknowledged."""

    lease = fields.String(required=True, metadata={"example": "pU0Vn2m6yq1dQvYk2yq1dQ"})
    expires_at = TimestampField(required=True)
    attempt = fields.Integer(required=True, metadata={"description": "How often they were given, this time included."})
    data = fields.List(fields.Nested(MessageSchema), required=True)


class ExtendedSchema(AnswerSchema):
    """The time at which an extended lease expires."""

    expires_at = TimestampField(required=True)


class DeadLetterSchema(AnswerSchema):
    """A message that a consumer or a destination could not take."""

    id = fields.Integer(required=True)
    consumer = fields.String(metadata={"example": "crm"})
    destination = fields.String(metadata={"description": "In place of `consumer`.", "example": "billing"})
    reason = fields.String(required=True, metadata={"example": "unknown customer"})
    attempts = fields.List(
        fields.Dict(keys=fields.String()),
        required=True,
        metadata={"description": "What became of each attempt of a destination."},
    )
    created_at = TimestampField(required=True)
    message = fields.Nested(MessageSchema, required=True)


class DeadLetterPageSchema(PageAnswerSchema):
    """A page of dead letters."""

    data = fields.List(fields.Nested(DeadLetterSchema), required=True)


class RetriedSchema(AnswerSchema):
    """The number of dead letters that will be given again."""

    retried = fields.Integer(required=True)
