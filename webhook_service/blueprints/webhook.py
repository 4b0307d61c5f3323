"""The endpoints that receive deliveries."""

from collections.abc import Iterable
from wsgiref.types import StartResponse, WSGIEnvironment

from flask import Blueprint, Request, Response, abort, request
from werkzeug.exceptions import BadRequest, HTTPException, MethodNotAllowed, RequestEntityTooLarge

from webhook_service.domain.errors import BodyTooLarge
from webhook_service.domain.results import Reason, Result
from webhook_service.domain.verdicts import Verdict
from webhook_service.intake.diagnosing import Diagnosing
from webhook_service.intake.take_in import Intake
from webhook_service.intake.wsgi import VERDICT, read_delivery
from webhook_service.providers.base import Acknowledgement, Provider
from webhook_service.providers.native import Native
from webhook_service.web.access import Guard, GuardedBlueprint
from webhook_service.web.context import current_request
from webhook_service.web.errors import refuse


class Acknowledged(Response):
    """A provider's acknowledgement. It is sent as it is, without what Werkzeug looks after in any other response."""

    def __init__(self, acknowledgement: Acknowledgement) -> None:
        super().__init__(acknowledgement.body, content_type=acknowledgement.content_type)
        self._body = acknowledgement.body
        self.headers["Content-Length"] = str(len(acknowledgement.body))

    def __call__(self, _environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        """Answers with the status, the headers and the body that it has."""
        start_response(self.status, self.headers.to_wsgi_list())
        return (self._body,)


def webhook_blueprint(intake: Intake) -> Blueprint:
    """Routes for the configured providers."""
    blueprint = GuardedBlueprint("webhook", __name__, guard=Guard.OPEN)
    providers = intake.providers
    diagnosing = Diagnosing(providers, intake.counting.note_hint)

    @blueprint.post("/webhook")
    def receive_native() -> Response:
        if Native.name not in providers:
            no_secret = f"{Native.secret_setting} is not set"
            return _respond(Verdict.unavailable(Native.name, Reason.NO_SECRET, no_secret), Native.acknowledgement)
        return _receive(providers[Native.name], intake, diagnosing)

    @blueprint.post("/webhook/<name>")
    def receive(name: str) -> Response:
        return _receive(_provider(name), intake, diagnosing)

    @blueprint.get("/webhook/<name>")
    def handshake(name: str) -> Response:
        provider = _provider(name)
        if not provider.has_handshake():
            raise MethodNotAllowed(["POST", "OPTIONS"])
        challenge = provider.handshake(request.args)
        if challenge is None:
            abort(403)
        return Response(challenge, content_type="text/plain; charset=utf-8")

    def _provider(name: str) -> Provider:
        if name not in providers or name == Native.name:
            abort(404)
        return providers[name]

    return blueprint


def _receive(provider: Provider, intake: Intake, diagnosing: Diagnosing) -> Response:
    """Answers a delivery, which the worker may have taken in already, with its verdict."""
    request = current_request()
    verdict: Verdict | None = request.environ.get(VERDICT)
    delivery = None
    if verdict is None:
        try:
            raw = _read_body(request)
        except BodyTooLarge as refusal:
            verdict = Verdict.refused(provider.name, refusal)
            intake.counting.count([verdict])
            return _respond(verdict, provider.acknowledgement)
        delivery = read_delivery(request.environ, provider.name, raw)
        (verdict,) = intake.take_in([delivery])
    if verdict.result is Result.INVALID_SIGNATURE:
        diagnosing.consider(
            verdict,
            lambda: delivery or read_delivery(request.environ, provider.name, request.get_data(cache=False)),
            request.request_id,
        )
    return _respond(verdict, provider.acknowledgement)


def _respond(verdict: Verdict, acknowledgement: Acknowledgement) -> Response:
    current_request().verdict = verdict
    if verdict.accepted:
        return Acknowledged(acknowledgement)
    return refuse(verdict)


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
    if len(raw) < (request.content_length or 0):
        raise BadRequest  # it broke off
    return raw
