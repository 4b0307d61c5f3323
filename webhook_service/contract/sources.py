"""The calls of declared sources, and the list of all sources."""

from webhook_service.contract.answer_schemas import SourcesSchema, StatusSchema
from webhook_service.contract.descriptions import DELIVERY, EVERY, READ, json, text
from webhook_service.contract.operation import Operation
from webhook_service.contract.parameters import SOURCE_NAME

SOURCES = [
    Operation(
        method="post",
        path="/webhook/{source}",
        name="deliver_to_source",
        tag="Deliveries",
        summary="Deliver: a source that the file of configuration declares",
        description="As its provider sends it. A 200 says that it is on disk, now or since an earlier delivery.",
        parameters=(SOURCE_NAME,),
        body={"required": True, "content": {"application/json": {"schema": {"type": "object"}}}},
        answers={
            "200": json(StatusSchema, "It is on disk."),
            "2XX": {
                "description": "It is on disk: the answer that the provider wants to see.",
                "headers": {"X-Request-ID": "X-Request-ID"},
            },
            "404": "NotConfigured",
            "422": "InvalidPayload",
            **DELIVERY,
        },
        is_protected=False,
    ),
    Operation(
        "get",
        "/webhook/{source}",
        "verify_source",
        "Deliveries",
        "Answer a provider's check of a new address",
        {
            "200": text("text/plain", "What the provider wants to see."),
            "403": "Forbidden",
            "404": "NotConfigured",
            "405": "MethodNotAllowed",
            **EVERY,
        },
        parameters=(SOURCE_NAME,),
        is_protected=False,
    ),
    Operation(
        "get",
        "/sources",
        "list_sources",
        "Sources",
        "List the configured sources",
        {"200": json(SourcesSchema, "The sources."), **READ},
    ),
]
