"""Wires the dashboard's parts together, with what all of its templates can use."""

from collections.abc import Mapping
from datetime import datetime
from functools import partial
from shlex import quote
from typing import Any

import orjson
from flask import Flask, request, url_for

from webhook_service.dashboard.advice import advise
from webhook_service.dashboard.assets import asset_pages, asset_path
from webhook_service.dashboard.consumers import consumer_pages
from webhook_service.dashboard.destinations import destination_pages
from webhook_service.dashboard.home import home_pages
from webhook_service.dashboard.markdown import render_markdown
from webhook_service.dashboard.messages import message_pages
from webhook_service.dashboard.overview import overview_pages
from webhook_service.dashboard.pages import init_pages
from webhook_service.dashboard.quarantine import quarantine_pages
from webhook_service.dashboard.setup import setup_pages
from webhook_service.dashboard.shell import Shell
from webhook_service.dashboard.signing_in import sign_in_pages
from webhook_service.dashboard.statuses import FAILED_STATUSES
from webhook_service.intake.take_in import Intake
from webhook_service.outlet.destinations import Destinations
from webhook_service.outlet.waiting import Waiting
from webhook_service.storage.database import Database
from webhook_service.web.access import credential_of
from webhook_service.web.context import current_request
from webhook_service.web.sessions import FORM_TOKEN, Sessions

SIGN_IN = "dashboard_sign_in.show"


def init_dashboard(
    app: Flask,
    database: Database,
    intake: Intake,
    sessions: Sessions,
    destinations: Destinations,
    waiting: Waiting,
    shell: Shell,
) -> None:
    """Registers all pages, and the filters and globals of the templates."""
    app.jinja_env.filters["moment"] = _moment
    app.jinja_env.filters["from_json"] = orjson.loads
    app.jinja_env.filters["markdown"] = render_markdown
    app.jinja_env.filters["to_json"] = _to_json
    app.jinja_env.globals.update(
        asset=_asset,
        curl=partial(_curl, has_token=bool(sessions.form_token(credential=""))),
        messages_url=_messages_url,
        form_token=lambda: sessions.form_token(credential_of(current_request())),
        FORM_TOKEN=FORM_TOKEN,
        FAILED_STATUSES=FAILED_STATUSES,
        advise=advise,
    )
    init_pages(app)
    app.jinja_env.trim_blocks = app.jinja_env.lstrip_blocks = True
    for pages in (
        asset_pages(),
        home_pages(database),
        sign_in_pages(sessions),
        message_pages(database, intake.sources, waiting),
        overview_pages(database, sorted(intake.sources)),
        quarantine_pages(database, intake),
        consumer_pages(database),
        destination_pages(database, destinations),
        setup_pages(database, intake, shell),
    ):
        app.register_blueprint(pages)


def _asset(name: str) -> str:
    digest, _, path = asset_path(name).partition("/")
    return url_for("dashboard_assets.show", digest=digest, name=path)


def _messages_url(given: Mapping[str, str], **more: str | None) -> str:
    """Returns the address of the list with these filters."""
    parameters: Any = {**given, **more}
    return url_for("dashboard_messages.list_", **parameters)


def _curl(path: str, *, has_token: bool) -> str:
    """Returns the curl command that reads a path of the JSON calls."""
    credentials = '-H "Authorization: Bearer $API_TOKEN" ' if has_token else ""
    return f"curl {credentials}{quote(request.host_url.rstrip('/') + path)}"


def _moment(moment: datetime) -> str:
    """Writes a time in UTC to the second, as the pages show it."""
    return f"{moment:%Y-%m-%d %H:%M:%S}"


def _to_json(value: Any) -> str:
    return orjson.dumps(value).decode()
