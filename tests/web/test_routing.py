"""The routes that are remembered are those that Werkzeug's search finds."""

from collections.abc import Callable
from functools import partial

import pytest
from flask import Flask, Request
from flask.testing import FlaskClient
from werkzeug.exceptions import HTTPException
from werkzeug.routing import MapAdapter

from webhook_service.web.routing import MOST_FOUND, RouteMatcher

METHODS = ("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "BREW", "get")
PATHS = (
    *("/webhook/", "//webhook", "/Webhook", "/webhook/native", "/webhook%2F", "/", "", "/dashboard", "/dashboard/"),
    *("/messages/m-1", "/messages/a/b", "/absent", "/messages ", "/messages\n"),
)


def found(match: Callable[..., object]) -> object:
    """The route and its parameters, or the class of what is raised in place of them."""
    try:
        return match(return_rule=True)
    except HTTPException as error:
        return type(error)


def adapter_for(app: Flask, path: str, method: str) -> RouteMatcher:
    """The matcher of a request."""
    request = Request({"PATH_INFO": path, "REQUEST_METHOD": method, "SCRIPT_NAME": "", "wsgi.url_scheme": "http"})
    adapter = app.create_url_adapter(request)
    assert isinstance(adapter, RouteMatcher)
    return adapter


@pytest.mark.parametrize("method", METHODS)
def test_a_route_is_the_one_that_the_search_finds(sqlite_client: FlaskClient, method: str) -> None:
    app = sqlite_client.application
    for path in (*PATHS, *(rule.rule for rule in app.url_map.iter_rules())):
        adapter = adapter_for(app, path, method)
        searched = found(partial(MapAdapter.match, adapter))
        assert [found(adapter.match), found(adapter.match)] == [searched, searched], path


def test_a_second_delivery_needs_no_search(sqlite_client: FlaskClient, monkeypatch: pytest.MonkeyPatch) -> None:
    app = sqlite_client.application
    adapter_for(app, "/webhook/twilio", "POST").match(return_rule=True)
    adapter = adapter_for(app, "/webhook/twilio", "POST")
    monkeypatch.delattr(adapter, "map")

    rule, parameters = adapter.match(return_rule=True)

    assert (rule.endpoint, parameters) == ("webhook.receive", {"name": "twilio"})


def test_what_a_hook_does_to_the_parameters_ends_with_its_request(sqlite_client: FlaskClient) -> None:
    app = sqlite_client.application
    _, parameters = adapter_for(app, "/webhook/twilio", "POST").match(return_rule=True)
    parameters.clear()

    assert adapter_for(app, "/webhook/twilio", "POST").match(return_rule=True)[1] == {"name": "twilio"}


def test_no_more_routes_are_remembered_than_there_is_room_for(sqlite_client: FlaskClient) -> None:
    app = sqlite_client.application
    for number in range(3 * MOST_FOUND):
        adapter = adapter_for(app, f"/messages/{number}", "GET")
        assert adapter.match(return_rule=True)[1] == {"message_id": f"{number}"}

    assert 0 < len(adapter.found) <= MOST_FOUND
