"""The calls of destinations."""

from marshmallow import fields, validate

from webhook_service.contract.answer_schemas import AnswerSchema
from webhook_service.contract.consumer_schemas import LagSchema
from webhook_service.contract.descriptions import CHANGE, READ, json, json_body
from webhook_service.contract.operation import Operation
from webhook_service.contract.parameters import DESTINATION_NAME
from webhook_service.domain.destinations import DestinationState, Failure
from webhook_service.schemas.consumers import StartSchema
from webhook_service.schemas.destinations import NEW
from webhook_service.schemas.fields import TimestampField

_TAG = "Destinations"
_STATES = [NEW, *(state.value for state in DestinationState)]


class DestinationSchema(AnswerSchema):
    """A destination and how it is doing."""

    name = fields.String(required=True, metadata={"example": "shop"})
    url = fields.String(
        required=True,
        allow_none=True,
        metadata={
            "description": "Without its query; null once it is declared no more.",
            "example": "https://shop.example/",
        },
    )
    state = fields.String(
        required=True,
        validate=validate.OneOf(_STATES),
        metadata={
            "description": "`new`: no forwarder knows it yet. `paused`: it failed, and is probed."
            " `disabled`: it answered 410."
        },
    )
    held_until = TimestampField(
        required=True,
        allow_none=True,
        metadata={"description": "Nothing is pushed before, as it failed or asked for it."},
    )
    place = fields.String(
        required=True,
        allow_none=True,
        metadata={"description": "Up to here all is pushed, waits for another attempt, or is a dead letter."},
    )
    lag = fields.Nested(LagSchema, required=True, allow_none=True)
    pushed = fields.Integer(required=True, metadata={"description": "Messages that it took."})
    failed = fields.Integer(required=True, metadata={"description": "Attempts that failed."})
    retries = fields.Integer(required=True, metadata={"description": "Messages that wait for another attempt."})
    retries_is_exact = fields.Boolean(required=True, metadata={"description": "False where there may be more."})
    dead_letters = fields.Integer(required=True)
    last_pushed_at = TimestampField(required=True, allow_none=True)
    last_failed_at = TimestampField(required=True, allow_none=True)
    last_failure = fields.String(
        required=True, allow_none=True, validate=validate.OneOf([failure.value for failure in Failure])
    )
    last_status = fields.Integer(
        required=True, allow_none=True, metadata={"description": "Of the last failure; null where no answer came."}
    )


class DestinationsSchema(AnswerSchema):
    """All destinations, by name."""

    data = fields.List(fields.Nested(DestinationSchema), required=True)


DESTINATIONS = [
    Operation(
        "get",
        "/destinations",
        "list_destinations",
        _TAG,
        "List destinations and how they are doing",
        {"200": json(DestinationsSchema, "All of them."), **READ},
    ),
    Operation(
        "post",
        "/destinations/{name}/resume",
        "resume_destination",
        _TAG,
        "Push to a destination again",
        {
            "200": json(DestinationSchema, "It is active, and what waits is tried at once."),
            **READ,
            "403": "Forbidden",
            "404": "NotFound",
        },
        parameters=(DESTINATION_NAME,),
    ),
    Operation(
        "post",
        "/destinations/{name}/seek",
        "move_destination",
        _TAG,
        "Move the place of a destination",
        {
            "200": json(DestinationSchema, "It is pushed to from there on."),
            **CHANGE,
            "404": "NotFound",
            "422": "InvalidBody",
        },
        parameters=(DESTINATION_NAME,),
        body=json_body(StartSchema, {"since": "2026-01-15T10:00:00Z"}),
    ),
    Operation(
        "delete",
        "/destinations/{name}",
        "forget_destination",
        _TAG,
        "Forget a destination that is declared no more",
        {
            "204": {
                "description": "Its place, its retries and its dead letters are gone.",
                "headers": {"X-Request-ID": "X-Request-ID"},
            },
            **CHANGE,
            "404": "NotFound",
            "409": "Declared",
        },
        parameters=(DESTINATION_NAME,),
    ),
]
