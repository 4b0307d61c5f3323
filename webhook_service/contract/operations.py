"""Every call of the contract, by path and method."""

from typing import Any

from webhook_service.contract import answer_schemas as answers
from webhook_service.contract.consumers import CONSUMERS
from webhook_service.contract.descriptions import DELIVERY, EVERY, READ, json, text
from webhook_service.contract.destinations import DESTINATIONS
from webhook_service.contract.operation import Operation
from webhook_service.contract.parameters import MESSAGE_ID, QUARANTINE_ID, REQUEST_ID
from webhook_service.contract.signing import SIGNED
from webhook_service.contract.sources import SOURCES
from webhook_service.providers.whatsapp import WhatsApp
from webhook_service.schemas.export import ExportQuerySchema
from webhook_service.schemas.feed import FeedQuerySchema
from webhook_service.schemas.messages import MessageQuerySchema
from webhook_service.schemas.quarantine import QuarantineQuerySchema, ReplaySchema
from webhook_service.schemas.receipts import ReceiptQuerySchema
from webhook_service.schemas.stats import TimelineQuerySchema

NDJSON_EXAMPLE = (
    '{"message_id":"m1","from":"+4915112345678","to":"+4930123456","ts":"2026-01-15T10:00:00Z","text":"Hello",'
    '"source":"native","provider":"native","type":"text","received_at":"2026-01-15T10:00:01.250000Z"}\n'
)
METRICS_EXAMPLE = 'http_requests_total{method="GET",path="/messages",status="200"} 1.0\n'


def _export() -> dict[str, Any]:
    answer = text("application/x-ndjson", "All messages that pass the filters, oldest first.", NDJSON_EXAMPLE)
    answer["content"]["text/csv"] = {"schema": {"type": "string"}}
    answer["headers"]["Content-Disposition"] = "Content-Disposition"
    return answer


def _deliveries() -> list[Operation]:
    return [
        Operation(
            method="post",
            path=provider.default_path(),
            name=f"deliver_{provider.name}",
            tag="Deliveries",
            summary=f"Deliver: {signed.sender}",
            description="A 200 says that it is on disk, now or since an earlier delivery.",
            parameters=signed.headers,
            body=signed.body,
            answers={**signed.answers, **DELIVERY},
            is_protected=False,
        )
        for provider, signed in SIGNED.items()
    ]


READS = [
    Operation(
        "get",
        "/messages",
        "list_messages",
        "Messages",
        "List messages by time",
        {"200": json(answers.MessagePageSchema, "A page.", "Link"), **READ},
        query=MessageQuerySchema,
    ),
    Operation(
        "get",
        "/messages/{message_id}",
        "get_message",
        "Messages",
        "Show a message with its receipts",
        {"200": json(answers.MessageWithReceiptsSchema, "The message."), "404": "NotFound", **READ},
        parameters=(MESSAGE_ID,),
    ),
    Operation(
        "get",
        "/feed",
        "read_feed",
        "Messages",
        "Read every message once, in stored order",
        {"200": json(answers.FeedPageSchema, "Messages, and where the next call begins.", "Link"), **READ},
        query=FeedQuerySchema,
    ),
    Operation(
        "get",
        "/export",
        "export_messages",
        "Messages",
        "Stream all messages",
        {"200": _export(), **READ},
        query=ExportQuerySchema,
    ),
    Operation(
        "get",
        "/receipts",
        "list_receipts",
        "Messages",
        "List what became of outgoing messages, in stored order",
        {"200": json(answers.ReceiptPageSchema, "A page."), **READ},
        query=ReceiptQuerySchema,
    ),
    Operation(
        "get",
        "/stats",
        "get_stats",
        "Totals",
        "Show the totals",
        {"200": json(answers.StatsSchema, "The totals; times are null while there is nothing."), **READ},
    ),
    Operation(
        "get",
        "/stats/timeline",
        "get_timeline",
        "Totals",
        "Count messages over time",
        {"200": json(answers.TimelineSchema, "Counts by interval, empty ones included."), **READ},
        query=TimelineQuerySchema,
    ),
]

QUARANTINE = [
    Operation(
        "get",
        "/quarantine",
        "list_quarantine",
        "Quarantine",
        "List authentic deliveries that could not be understood",
        {"200": json(answers.QuarantinePageSchema, "A page."), **READ},
        query=QuarantineQuerySchema,
    ),
    Operation(
        "post",
        "/quarantine/replay",
        "replay_page",
        "Quarantine",
        "Try those of a page again",
        {"200": json(answers.ReplayedManySchema, "The results."), **READ, "403": "Forbidden"},
        query=QuarantineQuerySchema,
    ),
    Operation(
        "delete",
        "/quarantine/{entry_id}",
        "drop_quarantined",
        "Quarantine",
        "Drop one for good",
        {
            "204": {"description": "It is gone.", "headers": {"X-Request-ID": "X-Request-ID"}},
            **READ,
            "403": "Forbidden",
            "404": "NotFound",
        },
        parameters=(QUARANTINE_ID,),
    ),
    Operation(
        "get",
        "/quarantine/{entry_id}",
        "get_quarantined",
        "Quarantine",
        "Show one, whole",
        {"200": json(answers.QuarantinedWholeSchema, "The delivery."), "404": "NotFound", **READ},
        parameters=(QUARANTINE_ID,),
    ),
    Operation(
        "post",
        "/quarantine/{entry_id}/replay",
        "replay_quarantined",
        "Quarantine",
        "Try one again",
        {
            "200": json(answers.ReplayedSchema, "All of it was understood, and it is gone from here."),
            **READ,
            "403": "Forbidden",
            "404": "NotFound",
            "409": "NotConfigured",
            "422": json(answers.ReplayRefusedSchema, "Not all of it was stored."),
        },
        parameters=(QUARANTINE_ID,),
        query=ReplaySchema,
    ),
]

HANDSHAKE = Operation(
    "get",
    WhatsApp.default_path(),
    "verify_whatsapp",
    "Deliveries",
    "Answer Meta's check of a new address",
    {
        "200": text("text/plain", "The challenge.", "1158201444"),
        "403": "Forbidden",
        "404": "NotConfigured",
        **EVERY,
    },
    parameters=tuple(
        {
            "name": name,
            "in": "query",
            "required": True,
            "description": description,
            "schema": {"type": "string"},
            "example": example,
        }
        for name, description, example in (
            ("hub.mode", "`subscribe`", "subscribe"),
            ("hub.verify_token", "`WHATSAPP_VERIFY_TOKEN`", "a-long-random-text"),
            ("hub.challenge", "Comes back in the answer.", "1158201444"),
        )
    ),
    is_protected=False,
)

WATCHING = [
    Operation(
        "get",
        "/health/live",
        "is_live",
        "Health and metrics",
        "Tell whether the process answers",
        {"200": json(answers.StatusSchema, "It does."), **EVERY},
        is_protected=False,
    ),
    Operation(
        "get",
        "/health/ready",
        "is_ready",
        "Health and metrics",
        "Tell whether deliveries can be stored",
        {
            "200": json(answers.ReadySchema, "They can; `warnings` says what needs attention soon."),
            "503": json(answers.ErrorSchema, "They can't; `detail` says what is in the way."),
            **EVERY,
        },
        is_protected=False,
    ),
    Operation(
        "get",
        "/metrics",
        "read_metrics",
        "Health and metrics",
        "Read the metrics, for Prometheus",
        {
            "200": text("text/plain", "All metrics, over all workers.", METRICS_EXAMPLE),
            "403": "Forbidden",
            **EVERY,
        },
        description="For whoever is not forwarded by a proxy.",
        is_protected=False,
    ),
]

CONTRACT = [
    Operation(
        "get",
        "/openapi.json",
        "get_contract",
        "Contract",
        "Show this document",
        {
            "200": {
                "description": "OpenAPI 3.1.",
                "headers": {"X-Request-ID": "X-Request-ID"},
                "content": {"application/json": {"schema": {"type": "object"}}},
            },
            **READ,
        },
    ),
    Operation(
        "get",
        "/docs",
        "show_docs",
        "Contract",
        "Show this document to a person, to read and to try",
        {"200": text("text/html", "A page that asks no other host for anything."), **READ},
    ),
]

OPERATIONS: list[Operation] = [
    *_deliveries(),
    HANDSHAKE,
    *SOURCES,
    *READS,
    *CONSUMERS,
    *DESTINATIONS,
    *QUARANTINE,
    *WATCHING,
    *CONTRACT,
]

COMMON_PARAMETERS = (REQUEST_ID,)
