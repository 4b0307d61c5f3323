"""The application: the order in which its parts are wired."""

from collections.abc import Iterable
from functools import partial

from flask import Blueprint, Flask
from werkzeug.middleware.proxy_fix import ProxyFix

from webhook_service.blueprints.consumers import consumers_blueprint, leases_blueprint
from webhook_service.blueprints.contract import contract_blueprint
from webhook_service.blueprints.dead_letters import dead_letters_blueprint
from webhook_service.blueprints.destinations import destinations_blueprint
from webhook_service.blueprints.export import export_blueprint
from webhook_service.blueprints.feed import feed_blueprint
from webhook_service.blueprints.health import health_blueprint
from webhook_service.blueprints.messages import messages_blueprint
from webhook_service.blueprints.quarantine import quarantine_blueprint
from webhook_service.blueprints.receipts import receipts_blueprint
from webhook_service.blueprints.sources import sources_blueprint
from webhook_service.blueprints.stats import stats_blueprint
from webhook_service.blueprints.webhook import webhook_blueprint
from webhook_service.dashboard.pages import DASHBOARD
from webhook_service.dashboard.shell import Shell
from webhook_service.dashboard.wiring import SIGN_IN, init_dashboard
from webhook_service.domain.consumers import ConsumerKind
from webhook_service.domain.quarantine import QuarantineSize
from webhook_service.domain.statistics import Age
from webhook_service.intake.take_in import INTAKE, Intake
from webhook_service.outlet.consumers import Consumers
from webhook_service.outlet.destinations import Destinations
from webhook_service.outlet.wait_checker import WAIT_CHECKER, WaitChecker
from webhook_service.outlet.waiting import Waiting
from webhook_service.providers.base import Provider
from webhook_service.providers.registry import PROVIDERS
from webhook_service.settings import Settings
from webhook_service.storage.database import Database
from webhook_service.storage.queries.quarantine import read_sizes
from webhook_service.web.access import Access, FindUsers, init_access
from webhook_service.web.errors import init_errors
from webhook_service.web.logs import init_logs
from webhook_service.web.metrics import METRICS_ENDPOINT, Metrics
from webhook_service.web.peers import users_of_peer
from webhook_service.web.routing import WebhookService
from webhook_service.web.scrapes import StorageReadings
from webhook_service.web.sessions import Sessions


def create_app(
    settings: Settings | None = None,
    known_providers: Iterable[type[Provider]] = PROVIDERS,
    find_users: FindUsers = users_of_peer,
) -> Flask:
    """Makes the WSGI application, without connecting to anything. Raises SettingsInvalid for unusable settings.

    ``find_users`` finds the users who may have made a request from this machine.
    """
    settings = settings or Settings.from_env(providers=known_providers)
    database = _database(settings)
    sources = settings.sources(known_providers)
    intake = Intake(sources, database, max_body_bytes=settings.max_body_bytes)
    destinations = Destinations(database, settings.configuration.destinations)

    app = WebhookService(__name__, max_body_bytes=settings.max_body_bytes)
    if settings.trusted_proxies:
        app.wsgi_app = ProxyFix(app.wsgi_app, x_for=settings.trusted_proxies)  # type: ignore[method-assign]

    app.extensions |= {INTAKE: intake, WAIT_CHECKER: WaitChecker(database)}
    init_logs(app)
    providers = {name: source.provider.name for name, source in sources.items()}
    Metrics(app, providers=providers, readings=_readings(settings, database, destinations))
    init_errors(app)
    sessions = Sessions(settings.api_token, settings.admin_token)
    access = Access(
        settings.api_token, settings.admin_token, sessions, DASHBOARD, SIGN_IN, {METRICS_ENDPOINT}, find_users
    )
    init_access(app, access)
    waiting = Waiting(app.extensions[WAIT_CHECKER], most_threads=max(1, settings.threads // 2))
    for blueprint in _blueprints(database, intake, destinations, waiting):
        app.register_blueprint(blueprint)
    launch = settings.launch
    shell = Shell(launch.from_outside, launch.env_file, launch.data_dir)
    init_dashboard(app, database, intake, sessions, destinations, waiting, shell)
    return app


def _database(settings: Settings) -> Database:
    return Database(
        settings.database_url,
        pool_size=settings.threads,
        read_url=settings.read_database_url,
        quarantine_max_bytes=settings.quarantine_max_bytes,
        require_sync_replica=settings.require_sync_replica,
    )


def _blueprints(database: Database, intake: Intake, destinations: Destinations, waiting: Waiting) -> list[Blueprint]:
    return [
        webhook_blueprint(intake),
        messages_blueprint(database),
        receipts_blueprint(database),
        quarantine_blueprint(database, intake),
        sources_blueprint(database, intake),
        feed_blueprint(database, waiting),
        consumers_blueprint(database),
        leases_blueprint(database, waiting),
        dead_letters_blueprint(database),
        destinations_blueprint(destinations),
        export_blueprint(database),
        stats_blueprint(database),
        contract_blueprint(),
        health_blueprint(database, has_source=bool(intake.sources)),
    ]


def _readings(settings: Settings, database: Database, destinations: Destinations) -> StorageReadings:
    return StorageReadings(
        quarantine=partial(_read_quarantine_sizes, database),
        quarantine_max_bytes=settings.quarantine_max_bytes,
        space=database.read_space,
        consumers=Consumers(database, ConsumerKind.CONSUMER).read_all,
        destinations=destinations.read_all,
        replica=partial(_read_age, database) if settings.read_database_url else None,
    )


def _read_age(database: Database) -> Age:
    with database.snapshot() as snapshot:
        return database.read_age(snapshot) or Age(0)


def _read_quarantine_sizes(database: Database) -> dict[str, QuarantineSize]:
    with database.primary_snapshot() as snapshot:
        return read_sizes(snapshot)
