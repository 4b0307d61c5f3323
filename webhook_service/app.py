"""The application: the order in which its parts are wired."""

from collections.abc import Callable
from typing import Any

from flask import Flask
from werkzeug.middleware.proxy_fix import ProxyFix
from werkzeug.routing import BaseConverter

from webhook_service.access import init_access
from webhook_service.blueprints.export import export_blueprint
from webhook_service.blueprints.feed import feed_blueprint
from webhook_service.blueprints.health import health_blueprint
from webhook_service.blueprints.messages import messages_blueprint
from webhook_service.blueprints.stats import stats_blueprint
from webhook_service.blueprints.webhook import webhook_blueprint
from webhook_service.errors import init_errors
from webhook_service.inbox import Inbox
from webhook_service.logs import init_logs
from webhook_service.metrics import Metrics
from webhook_service.providers.native import Native
from webhook_service.providers.registry import PROVIDERS
from webhook_service.settings import Settings
from webhook_service.storage.database import Database


class AnyText(BaseConverter):
    """A path's whole rest, slashes included."""

    regex = "(?s:.+)"
    part_isolating = False


class WebhookService(Flask):
    """Flask without its question, six times a request, whether a function is async: none is."""

    def ensure_sync(self, func: Callable[..., Any]) -> Callable[..., Any]:
        return func


def create_app(settings: Settings | None = None) -> Flask:
    """The WSGI application; SettingsInvalid when the environment can't be run with. Connects to nothing."""
    settings = settings or Settings.from_env()
    database = Database(settings.database_url, pool_size=settings.threads)
    inbox = Inbox(database)
    providers = {
        provider.name: provider(settings.provider_secrets[provider.name], settings.provider_options[provider.name])
        for provider in PROVIDERS
        if provider.name in settings.provider_secrets
    }

    app = WebhookService(__name__, static_folder=None)
    app.config["MAX_CONTENT_LENGTH"] = settings.max_body_bytes
    app.json.sort_keys = False  # type: ignore[attr-defined]
    app.url_map.merge_slashes = False
    app.url_map.converters["any_text"] = AnyText
    if settings.trusted_proxies:
        app.wsgi_app = ProxyFix(app.wsgi_app, x_for=settings.trusted_proxies)  # type: ignore[method-assign]

    init_logs(app)
    Metrics(app)
    init_errors(app)
    init_access(app, settings.api_token)

    app.register_blueprint(webhook_blueprint(providers, inbox))
    app.register_blueprint(messages_blueprint(database))
    app.register_blueprint(feed_blueprint(database))
    app.register_blueprint(export_blueprint(database))
    app.register_blueprint(stats_blueprint(database))
    app.register_blueprint(health_blueprint(database, has_secret=Native.name in providers))
    return app
