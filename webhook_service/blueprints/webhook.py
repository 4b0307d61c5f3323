"""Deliveries in."""

from collections.abc import Mapping
from datetime import UTC, datetime

from flask import Blueprint, Request, Response, abort, request
from werkzeug.exceptions import BadRequest, HTTPException, RequestEntityTooLarge

from webhook_service.current import current_notes, current_request
from webhook_service.domain import BodyTooLarge, Delivery, Reason, ServiceUnavailable, Verdict
from webhook_service.inbox import Inbox
from webhook_service.intake import take_in
from webhook_service.providers.base import Provider
from webhook_service.providers.native import Native


def webhook_blueprint(providers: Mapping[str, Provider], inbox: Inbox) -> Blueprint:
    """Routes for the configured providers."""
    blueprint = Blueprint("webhook", __name__)

    @blueprint.post("/webhook")
    def receive_native() -> Response:
        if Native.name not in providers:
            no_secret = ServiceUnavailable(Reason.NO_SECRET, f"{Native.secret_setting} is not set")
            _conclude(Verdict(Native.name, no_secret.result, no_secret.reason, no_secret))
        return _receive(providers[Native.name], inbox)

    @blueprint.post("/webhook/<name>")
    def receive(name: str) -> Response:
        return _receive(_provider(name), inbox)

    @blueprint.get("/webhook/<name>")
    def handshake(name: str) -> Response:
        challenge = _provider(name).handshake(request.args)
        if challenge is None:
            abort(403)
        return Response(challenge, content_type="text/plain; charset=utf-8")

    def _provider(name: str) -> Provider:
        if name not in providers or name == Native.name:
            abort(404)
        return providers[name]

    return blueprint


def _receive(provider: Provider, inbox: Inbox) -> Response:
    try:
        delivery = _read_delivery()
    except BodyTooLarge as refusal:
        _conclude(Verdict(provider.name, refusal.result, refusal.reason, refusal))
    else:
        _conclude(take_in(provider, delivery, inbox))
    return Response(provider.acknowledgement.body, content_type=provider.acknowledgement.content_type)


def _read_delivery() -> Delivery:
    request = current_request()
    raw = _read_body(request)
    return Delivery(raw=raw, headers=request.headers, target=_target(request), received_at=datetime.now(UTC))


def _read_body(request: Request) -> bytes:
    try:
        raw = request.get_data(cache=False)
        # A chunked body has no length to judge it by: werkzeug cuts it off at the limit and says nothing.
        is_cut_off = len(raw) == request.max_content_length and request.environ["wsgi.input"].read(1)
    except RequestEntityTooLarge:
        raise BodyTooLarge from None
    except HTTPException:
        raise
    except Exception as error:  # each server has its own for a body that is malformed or breaks off
        raise BadRequest from error
    if is_cut_off:
        raise BodyTooLarge
    return raw


def _target(request: Request) -> str:
    """The path and query as the provider wrote them, which a signature may cover; gunicorn keeps them as RAW_URI."""
    raw: str = request.environ.get("RAW_URI", "")
    return raw if raw.startswith("/") else request.full_path.removesuffix("?")


def _conclude(verdict: Verdict) -> None:
    current_notes().verdict = verdict
    if verdict.refusal is not None:
        raise verdict.refusal
