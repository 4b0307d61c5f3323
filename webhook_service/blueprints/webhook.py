"""Deliveries in."""

from collections.abc import Mapping
from datetime import UTC, datetime

from flask import Blueprint, Response, abort, g, request
from werkzeug.exceptions import RequestEntityTooLarge

from webhook_service.domain import (
    BodyTooLarge,
    Contents,
    Delivery,
    DeliveryRefused,
    Outcome,
    Reason,
    Result,
    ServiceUnavailable,
    Verdict,
)
from webhook_service.inbox import Inbox
from webhook_service.providers.base import Provider
from webhook_service.providers.native import Native


def webhook_blueprint(providers: Mapping[str, Provider], inbox: Inbox) -> Blueprint:
    """Routes for the configured providers."""
    blueprint = Blueprint("webhook", __name__)

    @blueprint.post("/webhook")
    def receive_native() -> Response:
        return _receive(Native.name)

    @blueprint.post("/webhook/<provider>")
    def receive(provider: str) -> Response:
        if provider not in providers or provider == Native.name:
            abort(404)
        return _receive(provider)

    def _receive(name: str) -> Response:
        try:
            provider = providers.get(name)
            if provider is None:
                raise ServiceUnavailable(Reason.NO_SECRET, f"{Native.secret_setting} is not set")
            delivery = _read_delivery()
            provider.verify(delivery)
            contents = provider.parse(delivery)
            outcomes = inbox.accept(contents.messages)
        except DeliveryRefused as refused:
            g.verdict = Verdict(name, refused.result, refused.reason)
            raise
        g.verdict = _verdict(name, contents, outcomes)
        return Response(provider.acknowledgement.body, content_type=provider.acknowledgement.content_type)

    return blueprint


def _read_delivery() -> Delivery:
    try:
        raw = request.get_data(cache=False)
    except RequestEntityTooLarge:
        raise BodyTooLarge from None
    return Delivery(raw=raw, headers=request.headers, target=_target(), received_at=datetime.now(UTC))


def _target() -> str:
    # Flask's full_path ends in a question mark where there is no query, which is not what was sent, nor signed.
    query = request.query_string.decode(errors="replace")
    return f"{request.path}?{query}" if query else request.path


def _verdict(provider: str, contents: Contents, outcomes: list[Outcome]) -> Verdict:
    result = Result.CREATED if Outcome.CREATED in outcomes else Result.DUPLICATE
    message_id = contents.messages[0].message_id if contents.messages else None
    return Verdict(provider, result, message_id=message_id, outcomes=tuple(outcomes))
