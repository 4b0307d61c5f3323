"""The endpoints that receive deliveries."""

from collections.abc import Iterable
from wsgiref.types import StartResponse, WSGIEnvironment

from flask import Blueprint, Request, Response, abort, request
from werkzeug.exceptions import BadRequest, HTTPException, MethodNotAllowed, RequestEntityTooLarge

from webhook_service.domain.acknowledgement import Acknowledgement
from webhook_service.domain.errors import BodyTooLarge
from webhook_service.domain.results import Reason, Result
from webhook_service.domain.verdicts import Verdict
from webhook_service.intake.diagnosing import Diagnosing
from webhook_service.intake.take_in import Intake
from webhook_service.intake.wsgi import VERDICT, read_delivery
from webhook_service.providers.native import Native
from webhook_service.providers.source import Source
from webhook_service.web.access import Guard, GuardedBlueprint
from webhook_service.web.context import current_request
from webhook_service.web.errors import refuse

NO_CONTENT = 204


class Acknowledged(Response):
    """A provider's acknowledgement, which is sent as it is, without Werkzeug's processing of other responses."""

    def __init__(self, acknowledgement: Acknowledgement) -> None:
        self._body = acknowledgement.body
        headers = {"Content-Type": acknowledgement.content_type}
        if acknowledgement.status != NO_CONTENT:  # such a response has no length (RFC 9110, section 8.6)
            headers["Content-Length"] = str(len(self._body))
        super().__init__((self._body,), acknowledgement.status, headers)

    def __call__(self, _environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        """Sends the status, the headers and the body as they are."""
        start_response(self.status, self.headers.to_wsgi_list())
        return (self._body,)


def webhook_blueprint(intake: Intake) -> Blueprint:
    """Makes the routes for the deliveries of the configured sources."""
    blueprint = GuardedBlueprint("webhook", __name__, guard=Guard.OPEN)
    sources = intake.sources
    diagnosing = Diagnosing(sources, intake.activity.note_hint)

    @blueprint.post("/webhook")
    def receive_native() -> Response:
        if Native.name not in sources:
            no_secret = f"{Native.secret_setting} is not set"
            verdict = Verdict.unavailable(Native.name, Native.name, Reason.NO_SECRET, no_secret)
            return _respond(verdict, Native.acknowledgement)
        return _receive(sources[Native.name], intake, diagnosing)

    @blueprint.post("/webhook/<name>")
    def receive(name: str) -> Response:
        return _receive(_source(name), intake, diagnosing)

    @blueprint.get("/webhook/<name>")
    def handshake(name: str) -> Response:
        provider = _source(name).provider
        if not provider.has_handshake():
            raise MethodNotAllowed(["POST", "OPTIONS"])
        answer = provider.handshake(request.args)
        if answer is None:
            abort(403)
        return Response(answer.body, answer.status, content_type=answer.content_type)

    def _source(name: str) -> Source:
        if name not in sources or name == Native.name:
            abort(404)
        return sources[name]

    return blueprint


def _receive(source: Source, intake: Intake, diagnosing: Diagnosing) -> Response:
    """Answers a delivery by the verdict on it; takes it in first, unless the worker has done so."""
    request = current_request()
    verdict: Verdict | None = request.environ.get(VERDICT)
    delivery = None
    acknowledgement = source.provider.acknowledgement
    if verdict is None:
        try:
            raw = _read_body(request)
        except BodyTooLarge as refusal:
            verdict = Verdict.refused(source.name, source.provider.name, refusal)
            intake.activity.count([verdict])
            return _respond(verdict, acknowledgement)
        delivery = read_delivery(request.environ, source.name, raw)
        (verdict,) = intake.take_in([delivery])
    if verdict.result is Result.INVALID_SIGNATURE:
        diagnosing.consider(
            verdict,
            lambda: delivery or read_delivery(request.environ, source.name, request.get_data(cache=False)),
            request.request_id,
        )
    return _respond(verdict, acknowledgement)


def _respond(verdict: Verdict, acknowledgement: Acknowledgement) -> Response:
    current_request().verdict = verdict
    if verdict.is_accepted:
        return Acknowledged(verdict.answer or acknowledgement)
    return refuse(verdict)


def _read_body(request: Request) -> bytes:
    try:
        raw = request.get_data(cache=False)
        # A chunked body does not state its length, and Werkzeug silently cuts it off at the limit.
        is_cut_off = len(raw) == request.max_content_length and request.environ["wsgi.input"].read(1)
    except RequestEntityTooLarge:
        raise BodyTooLarge from None
    except HTTPException:
        raise
    except Exception as error:  # each server has its own errors for a body that is malformed or breaks off
        raise BadRequest from error
    if is_cut_off:
        raise BodyTooLarge
    if len(raw) < (request.content_length or 0):
        raise BadRequest  # the body broke off
    return raw
