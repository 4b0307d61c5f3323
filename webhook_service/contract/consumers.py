"""The calls of consumers, leases and dead letters."""

from typing import Any

from webhook_service.contract import consumer_schemas as answers
from webhook_service.contract.descriptions import CHANGE, READ, Answers, json, json_body
from webhook_service.contract.operation import Operation
from webhook_service.contract.parameters import CONSUMER_NAME, DEAD_LETTER_ID
from webhook_service.schemas.consumers import (
    AckSchema,
    ConsumerBodySchema,
    ExtendSchema,
    LeaseQuerySchema,
    NackSchema,
    StartSchema,
)
from webhook_service.schemas.dead_letters import DeadLetterFilterSchema, DeadLetterQuerySchema

_TAG = "Consumers"
_NAMED = (CONSUMER_NAME,)
_LEASE = {"lease": "pU0Vn2m6yq1dQvYk2yq1dQ"}
_OF_A_LEASE: Answers = {**CHANGE, "404": "NotFound", "409": "LeaseEnded", "422": "InvalidBody"}


def _done(description: str) -> dict[str, Any]:
    return {"description": description, "headers": {"X-Request-ID": "X-Request-ID"}}


_MAKING = [
    Operation(
        "get",
        "/consumers",
        "list_consumers",
        _TAG,
        "List consumers and how they are doing",
        {"200": json(answers.ConsumersSchema, "All of them."), **READ},
    ),
    Operation(
        "get",
        "/consumers/{name}",
        "get_consumer",
        _TAG,
        "Show a consumer and how it is doing",
        {"200": json(answers.ConsumerSchema, "The consumer."), "404": "NotFound", **READ},
        parameters=_NAMED,
    ),
    Operation(
        "put",
        "/consumers/{name}",
        "put_consumer",
        _TAG,
        "Make a consumer, or change it",
        {
            "200": json(answers.ConsumerSchema, "It is changed; its place stays."),
            "201": json(answers.ConsumerSchema, "It is made."),
            **CHANGE,
            "409": "TooMany",
            "422": "InvalidBody",
        },
        parameters=_NAMED,
        body=json_body(ConsumerBodySchema, {"max_leases": 4, "start": {"to": "now"}}, is_required=False),
    ),
    Operation(
        "delete",
        "/consumers/{name}",
        "delete_consumer",
        _TAG,
        "Delete a consumer, with its place and its dead letters",
        {"204": _done("It is gone."), **CHANGE, "404": "NotFound"},
        parameters=_NAMED,
    ),
    Operation(
        "post",
        "/consumers/{name}/seek",
        "move_consumer",
        _TAG,
        "Move the place of a consumer, and end its leases",
        {"200": json(answers.ConsumerSchema, "The consumer."), **CHANGE, "404": "NotFound", "422": "InvalidBody"},
        parameters=_NAMED,
        body=json_body(StartSchema, {"since": "2026-01-15T10:00:00Z"}),
    ),
]

_TAKING = [
    Operation(
        "post",
        "/consumers/{name}/lease",
        "lease_messages",
        _TAG,
        "Take messages until they are acknowledged",
        {
            "200": json(answers.LeaseSchema, "Messages, in stored order."),
            "204": _done("There is nothing to take now."),
            **READ,
            "403": "Forbidden",
            "404": "NotFound",
        },
        parameters=_NAMED,
        query=LeaseQuerySchema,
    ),
    Operation(
        "post",
        "/consumers/{name}/ack",
        "acknowledge",
        _TAG,
        "Acknowledge the messages of a lease",
        {"204": _done("They won't be given again."), **_OF_A_LEASE},
        parameters=_NAMED,
        body=json_body(AckSchema, _LEASE),
    ),
    Operation(
        "post",
        "/consumers/{name}/nack",
        "refuse",
        _TAG,
        "Have the messages of a lease given again",
        {"204": _done("They will be given again."), **_OF_A_LEASE},
        parameters=_NAMED,
        body=json_body(NackSchema, _LEASE),
    ),
    Operation(
        "post",
        "/consumers/{name}/extend",
        "extend_lease",
        _TAG,
        "Keep a lease for longer",
        {"200": json(answers.ExtendedSchema, "It lasts longer."), **_OF_A_LEASE},
        parameters=_NAMED,
        body=json_body(ExtendSchema, _LEASE),
    ),
]

_DEAD_LETTERS = [
    Operation(
        "get",
        "/dead-letters",
        "list_dead_letters",
        _TAG,
        "List messages that could not be taken",
        {"200": json(answers.DeadLetterPageSchema, "A page."), **READ},
        query=DeadLetterQuerySchema,
    ),
    Operation(
        "post",
        "/dead-letters/retry",
        "retry_dead_letters",
        _TAG,
        "Give many again",
        {"200": json(answers.RetriedSchema, "They will be given again."), **READ, "403": "Forbidden"},
        query=DeadLetterFilterSchema,
    ),
    Operation(
        "post",
        "/dead-letters/{dead_letter_id}/retry",
        "retry_dead_letter",
        _TAG,
        "Give one again",
        {"204": _done("It will be given again."), **CHANGE, "404": "NotFound"},
        parameters=(DEAD_LETTER_ID,),
    ),
    Operation(
        "delete",
        "/dead-letters/{dead_letter_id}",
        "drop_dead_letter",
        _TAG,
        "Drop one for good",
        {"204": _done("It is gone."), **CHANGE, "404": "NotFound"},
        parameters=(DEAD_LETTER_ID,),
    ),
]

CONSUMERS = [*_MAKING, *_TAKING, *_DEAD_LETTERS]
