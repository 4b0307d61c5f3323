"""``GET /openapi.json`` and ``GET /docs``: the contract, for programs and for people."""

from flask import Blueprint, Response, abort, jsonify, request

from webhook_service.contract.docs_page import DocsPage
from webhook_service.contract.document import make_document
from webhook_service.schemas.query import refuse_parameters
from webhook_service.web.access import Guard, GuardedBlueprint

# Scripts come only from here, and none is within the page; RapiDoc sets styles on its elements.
CONTENT_SECURITY_POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self' 'unsafe-inline'; img-src 'self' data:; connect-src 'self';"
    " base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)
FOREVER = "private, max-age=31536000, immutable"  # a part's URL changes with its content


def contract_blueprint() -> Blueprint:
    """Makes the routes of the contract."""
    blueprint = GuardedBlueprint("contract", __name__, guard=Guard.API)
    page = DocsPage.read()

    @blueprint.get("/openapi.json")
    def show() -> Response:
        refuse_parameters(request.query_string)
        return jsonify(make_document(request.root_path))

    @blueprint.get("/docs")
    def show_page() -> Response:
        refuse_parameters(request.query_string)
        response = Response(page.html, content_type="text/html; charset=utf-8")
        response.headers["Content-Security-Policy"] = CONTENT_SECURITY_POLICY
        response.headers["Referrer-Policy"] = "no-referrer"
        return response

    @blueprint.get("/docs/<version>/<name>")
    def show_part(version: str, name: str) -> Response:
        if version != page.version or name not in page.parts:
            abort(404)
        part = page.parts[name]
        response = Response(part.content, content_type=part.content_type)
        response.headers["Cache-Control"] = FOREVER
        return response

    @blueprint.after_request
    def forbid_sniffing(response: Response) -> Response:
        response.headers["X-Content-Type-Options"] = "nosniff"
        return response

    return blueprint
