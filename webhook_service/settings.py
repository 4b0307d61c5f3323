"""The settings, read once from the environment; all their problems are reported together.

Every setting may be in the environment or in a file: the one that ``ENV_FILE`` names, or the ``.env`` of a checkout.
The environment wins, and an empty value means 'not set'. A secret ``NAME`` may instead be the content of the file that
``NAME_FILE`` names. The file of configuration is read together with the settings.
"""

import os
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from dotenv import dotenv_values
from sqlalchemy import URL

from webhook_service.configuration.database_url import has_several_hosts, is_sqlite, masked_url, parse_url
from webhook_service.configuration.loading import Configuration, load_configuration
from webhook_service.configuration.variables import Variables
from webhook_service.domain.limits import QUARANTINE_MAX_BYTES
from webhook_service.domain.secrets import DefaultLabel, Secrets
from webhook_service.providers.base import Provider
from webhook_service.providers.registry import PROVIDERS
from webhook_service.providers.source import Source, sources_of_environment
from webhook_service.shipped import CHECKOUT

DATABASE_FILE = "app.db"
CHECKOUT_DATA = "data"  # the folder of DATABASE_FILE in a checkout
_NO_DATABASE = URL.create("sqlite", database="/nonexistent")  # stands in for a URL that is invalid
LEAST_THREADS = 2  # of a worker, so that a long request leaves a thread to the others
LOG_LEVELS = ("DEBUG", "INFO", "WARNING", "ERROR", "CRITICAL")

_NAMED_SOCKET = re.compile(r"unix:.+|fd://[0-9]+")
_HOST_AND_PORT = re.compile(r"(?!fd:|unix:)(?:\[[0-9A-Fa-f:.]+(?:%\w+)?\]|[\w.-]*):([0-9]{1,5})", re.ASCII)


class SettingsInvalid(Exception):
    """The settings can't be used; ``problems`` has one line for each setting that is wrong."""

    def __init__(self, problems: list[str]) -> None:
        super().__init__("invalid settings:\n  " + "\n  ".join(problems))
        self.problems = problems


@dataclass(frozen=True, slots=True)
class Launch:
    """The way in which this process was started, so that a reader of the pages can start the program as well.

    ``from_outside`` is what starts it in its container from a shell outside, if Compose started it. ``env_file`` and
    ``data_dir`` say where it finds its settings and its data, if it was told.
    """

    from_outside: str | None = None
    env_file: str | None = None
    data_dir: str | None = None

    @classmethod
    def from_environ(cls, environ: Mapping[str, str]) -> "Launch":
        """Reads it from the variables of the process alone, as a file of settings can't know it."""
        names = ("COMMAND_FROM_OUTSIDE", "ENV_FILE", "DATA_DIR")
        return cls(*(environ.get(name, "").strip() or None for name in names))


@dataclass(frozen=True, slots=True)
class Settings:
    """Everything that can be set, with its default.

    ``provider_secrets`` has the secrets of the providers that environment variables set up, by the provider's name;
    ``configuration`` is what the file of configuration declares.
    """

    database_url: URL
    read_database_url: URL | None = None
    require_sync_replica: bool = False
    provider_secrets: Mapping[str, Secrets] = field(default_factory=dict)
    provider_options: Mapping[str, Mapping[str, str]] = field(default_factory=dict)
    configuration: Configuration = field(default_factory=Configuration)
    api_token: Secrets | None = None
    admin_token: Secrets | None = None
    log_level: str = "INFO"
    max_body_bytes: int = 3 * 2**20
    quarantine_max_bytes: int = QUARANTINE_MAX_BYTES
    trusted_proxies: int = 0
    bind: str = "127.0.0.1:8000"
    workers: int = field(default_factory=lambda: _usable_cores())
    threads: int = 8
    launch: Launch = field(default=Launch(), compare=False)

    @classmethod
    def from_env(
        cls,
        environ: Mapping[str, str] | None = None,
        providers: Iterable[type[Provider]] = PROVIDERS,
        *,
        needs_database: bool = True,
    ) -> "Settings":
        """Reads the settings in an environment; SettingsInvalid names every one that is wrong.

        Without ``needs_database``, it is no fault if they name no database.
        """
        return _Reader(environment() if environ is None else environ, needs_database).read(providers)

    def sources(self, known: Iterable[type[Provider]] = PROVIDERS) -> dict[str, Source]:
        """Makes the sources that are set up, by name."""
        of_environment = sources_of_environment(self.provider_secrets, self.provider_options, known)
        return {**of_environment, **self.configuration.sources}

    def masked(self) -> dict[str, object]:
        """Returns the settings in effect as they may be logged, without any secret or password."""
        return {
            "database_url": masked_url(self.database_url),
            "read_database_url": masked_url(self.read_database_url) if self.read_database_url else "not set",
            "require_sync_replica": self.require_sync_replica,
            "providers": sorted(self.provider_secrets),
            "destinations": sorted(self.configuration.destinations),
            "config_file": str(self.configuration.file or "none"),
            "sources": sorted({*self.provider_secrets, *self.configuration.sources}),
            "api_token": "set" if self.api_token else "not set",
            "admin_token": "set" if self.admin_token else "not set",
            "log_level": self.log_level,
            "max_body_bytes": self.max_body_bytes,
            "quarantine_max_bytes": self.quarantine_max_bytes,
            "trusted_proxies": self.trusted_proxies,
            "bind": self.bind,
            "workers": self.workers,
            "threads": self.threads,
        }


def _usable_cores() -> int:
    """Counts the cores that this process may use; on macOS, which doesn't tell, all cores."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def environment() -> dict[str, str]:
    """Returns the environment of the process, with the file of settings filling in the names that it lacks."""
    given = os.environ.get("ENV_FILE", "").strip()
    file = Path(given) if given else CHECKOUT and CHECKOUT / ".env"
    if file is None or not (given or file.exists()):
        return dict(os.environ)
    try:
        with file.open(encoding="utf-8") as lines:
            from_file = {name: value for name, value in dotenv_values(stream=lines).items() if value is not None}
    except (OSError, UnicodeDecodeError) as error:
        raise SettingsInvalid([f"{file}: can't be read ({type(error).__name__})"]) from None
    return {**from_file, **os.environ}


def _setting_of(of: str, provider: type[Provider]) -> str:
    """Returns the setting that is the subject of a problem: a secret, named by its label, or an option."""
    if of == DefaultLabel.CURRENT:
        return provider.secret_setting
    return f"{provider.secret_setting}_PREVIOUS" if of == DefaultLabel.PREVIOUS else of


class _Reader(Variables):
    """Reads the settings in one environment, and collects problems instead of stopping at the first."""

    def __init__(self, environ: Mapping[str, str], needs_database: bool) -> None:
        super().__init__(environ)
        self._needs_database = needs_database

    def read(self, providers: Iterable[type[Provider]]) -> Settings:
        secrets, options = self._providers(providers)
        database_url = self._primary_database_url()
        defaults = Settings(database_url)
        settings = Settings(
            database_url=database_url,
            read_database_url=self._read_database_url(database_url),
            require_sync_replica=self._require_sync_replica(database_url),
            provider_secrets=secrets,
            provider_options=options,
            configuration=self._configuration(providers, secrets),
            api_token=self.secrets("API_TOKEN"),
            admin_token=self.secrets("ADMIN_TOKEN"),
            log_level=self.choice("LOG_LEVEL", defaults.log_level, LOG_LEVELS),
            max_body_bytes=self.integer("MAX_BODY_BYTES", defaults.max_body_bytes, 1024, 2**30),
            quarantine_max_bytes=self.integer("QUARANTINE_MAX_BYTES", defaults.quarantine_max_bytes, 2**20, 10**12 - 1),
            trusted_proxies=self.integer("TRUSTED_PROXIES", defaults.trusted_proxies, 0, 16),
            bind=self._bind(defaults.bind),
            workers=self.integer("WEB_CONCURRENCY", defaults.workers, 1, 256),
            threads=max(LEAST_THREADS, self.integer("GUNICORN_THREADS", defaults.threads, 1, 256)),
            launch=Launch.from_environ(os.environ),
        )
        if settings.admin_token and not settings.api_token:
            self.problems.append("ADMIN_TOKEN: needs an API_TOKEN, for those who only read")
        if self.problems:
            raise SettingsInvalid(self.problems)
        return settings

    def _providers(
        self, providers: Iterable[type[Provider]]
    ) -> tuple[dict[str, Secrets], dict[str, Mapping[str, str]]]:
        secrets: dict[str, Secrets] = {}
        options: dict[str, Mapping[str, str]] = {}
        for provider in providers:
            configured = self.secrets(provider.secret_setting)
            if configured is None:
                continue
            secrets[provider.name] = configured
            options[provider.name] = self._options(provider)
            for of, text in provider.problems(configured, options[provider.name]):
                self.problems.append(f"{_setting_of(of, provider)}: {text}")
        return secrets, options

    def _configuration(self, providers: Iterable[type[Provider]], secrets: Mapping[str, Secrets]) -> Configuration:
        configured = {provider.name: provider for provider in providers if provider.name in secrets}
        configuration, problems = load_configuration(self.environ, providers, configured)
        self.problems += problems
        return configuration

    def _options(self, provider: type[Provider]) -> dict[str, str]:
        options = {}
        for name in provider.option_settings:
            value = self.secret_text(name)
            if value is None:
                self.problems.append(f"{name}: needed with {provider.secret_setting}")
            else:
                options[name] = value
        return options

    def _primary_database_url(self) -> URL:
        """Reads DATABASE_URL. A relative path of SQLite is below the folder of data, whatever the current folder is."""
        problems = len(self.problems)
        url = self._database_url("DATABASE_URL")
        if len(self.problems) > problems:
            return _NO_DATABASE
        if url is not None and has_several_hosts(url):
            # Without this, libpq takes the first host that answers, even a replica, to which nothing can be written.
            return url.update_query_dict({"target_session_attrs": "read-write", **url.query})
        if url is not None and (not is_sqlite(url) or Path(url.database or "").is_absolute()):
            return url
        folder = self._data_folder(is_default=url is None)
        if folder is None and not self._needs_database:
            return _NO_DATABASE
        if folder is None:
            told = "not set" if url is None else f"{url.database} is a relative path"
            self.problems.append(f"DATABASE_URL: {told}; name a whole path, or a folder by DATA_DIR or --data-dir")
            return _NO_DATABASE
        named = url or URL.create("sqlite", database=DATABASE_FILE)
        return named.set(database=str(folder / (named.database or "")))

    def _data_folder(self, *, is_default: bool) -> Path | None:
        """Returns the folder of a relative path: DATA_DIR or, in a checkout, the project's or the ``data`` in it."""
        given = self.text("DATA_DIR")
        if given is None:
            return CHECKOUT and (CHECKOUT / CHECKOUT_DATA if is_default else CHECKOUT)
        if not Path(given).is_absolute() and CHECKOUT is None:
            self.problems.append(f"DATA_DIR: {given} is a relative path")
        return (CHECKOUT or Path()) / given

    def _bind(self, default: str) -> str:
        bind = self.text("BIND")
        if bind is None or _NAMED_SOCKET.fullmatch(bind):
            return bind or default
        address = _HOST_AND_PORT.fullmatch(bind)
        if address is None or not 1 <= int(address[1]) <= 65535:
            self.problems.append("BIND: not HOST:PORT, [IPV6]:PORT, unix:PATH or fd://NUMBER")
            return default
        return bind

    def _database_url(self, name: str) -> URL | None:
        url = self.secret_text(name)
        try:
            return None if url is None else parse_url(url)
        except ValueError as error:
            self.problems.append(f"{name}: {error}")
            return None

    def _read_database_url(self, database_url: URL) -> URL | None:
        name = "READ_DATABASE_URL"
        url = self._database_url(name)
        if url is None:
            return None
        if is_sqlite(url):
            self.problems.append(f"{name}: only postgresql:// is supported, as SQLite has no replica")
        elif is_sqlite(database_url):
            self.problems.append(f"{name}: needs a DATABASE_URL that is postgresql:// too")
        return url

    def _require_sync_replica(self, database_url: URL) -> bool:
        name = "REQUIRE_SYNC_REPLICA"
        is_required = self.choice(name, "false", ("TRUE", "FALSE")) == "TRUE"
        if is_required and is_sqlite(database_url):
            self.problems.append(f"{name}: needs a DATABASE_URL that is postgresql://, as SQLite has no replica")
        return is_required
