"""The sources that the file declares: ``[sources.NAME]``."""

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from webhook_service.configuration.declared import DECLARED_KINDS, take_declared
from webhook_service.configuration.file import ConfigFile
from webhook_service.configuration.tables import NOT_INLINE, Table
from webhook_service.domain.secrets import Secret, Secrets, label_of
from webhook_service.domain.sources import path_of
from webhook_service.domain.spelling import nearest
from webhook_service.providers.base import Provider
from webhook_service.providers.declared import KEYS
from webhook_service.providers.routing import Route
from webhook_service.providers.source import Source

SECTION = "sources"
MOST_SECRETS = 16  # of one source, since a delivery may be checked against each

_NAME = re.compile(r"[a-z0-9][a-z0-9_-]{0,31}")
_NAME_HELP = "a name has at most 32 of a-z, 0-9, - and _, and begins with a letter or a digit"


@dataclass(slots=True)
class _Draft:
    """A table that was read. Without secrets it has no provider yet, which is allowed for the target of a route.

    ``kind`` is None when the table names no known provider.
    """

    table: Table
    kind: str | None
    provider: Provider | None
    has_secrets: bool
    targets: Mapping[str, str]


def load_sources(
    file: ConfigFile, known: Iterable[type[Provider]], configured: Mapping[str, type[Provider]]
) -> dict[str, Source]:
    """Loads every declared source, by name; problems are reported to the file.

    ``known`` are the providers written in Python, ``configured`` those of them that environment variables set up.
    """
    reading = _Reading({provider.name: provider for provider in known}, configured)
    drafts = file.load(SECTION, reading.read)
    for name, draft in drafts.items():
        _follow_route(name, draft, drafts, configured)
    for draft in drafts.values():
        if draft.kind is not None and draft.provider is None and not draft.has_secrets:
            draft.table.report(("secrets",), "missing")
    return {name: Source(name, draft.provider) for name, draft in drafts.items() if draft.provider is not None}


class _Reading:
    """Reads the tables one by one."""

    def __init__(self, known: Mapping[str, type[Provider]], configured: Mapping[str, type[Provider]]) -> None:
        self._known = known
        self._kinds = (*known, *DECLARED_KINDS)
        self._configured = configured

    def read(self, name: str, table: Table) -> _Draft:
        """Reads the table of one source."""
        if not _NAME.fullmatch(name):
            table.report((), _NAME_HELP)
        kind = table.take_choice("provider", self._kinds, required=True)
        if name in self._configured:
            setting = self._configured[name].secret_setting
            table.report((), f"has the address {path_of(name)} of the provider that {setting} sets up: keep one")
        if kind is not None and name != kind and name in self._kinds:
            table.report((), f"has the name of another provider than {kind}: it needs a name of its own")
        secrets = _take_secrets(table)
        route, targets = _take_route(table)
        provider: Provider | None = None
        if kind is None:
            table.take_any({*KEYS, "options", "signing_key"})  # which of them are known depends on the provider
        elif kind in self._known:
            provider = self._take_built_in(table, self._known[kind], secrets)
        else:
            provider = take_declared(table, kind, secrets)
        table.finish()
        if provider is not None:
            provider.route = route
        return _Draft(table, kind, provider, "secrets" in table.values, targets)

    def _take_built_in(self, table: Table, provider: type[Provider], secrets: Secrets | None) -> Provider | None:
        if table.values.keys().isdisjoint({"secrets", "options"}):
            return None  # a route's target has those of the source that leads to it
        options = _take_options(table, provider)
        if secrets is None or options is None:
            return None
        problems = provider.problems(secrets, options)
        for problem in problems:
            table.report(_place_of(problem.of, provider, secrets), problem.text)
        if problems:
            return None
        made = provider(secrets, options)
        made.declared_in = _places(table, provider)
        return made


def _follow_route(
    name: str, draft: _Draft, drafts: Mapping[str, _Draft], configured: Mapping[str, type[Provider]]
) -> None:
    """Checks the targets of a source's route; a target without secrets of its own shares this source's provider."""
    kinds: dict[str, str | None] = {provider: provider for provider in configured}
    kinds |= {other: drafts[other].kind for other in drafts}
    for value, target in draft.targets.items():
        if target not in kinds:
            meant = nearest(target, kinds)
            hint = f"; did you mean {meant}?" if meant else ""
            draft.table.report(("route", "to", value), f"there is no such source{hint}")
        elif None in (kinds[target], draft.kind):
            continue  # that there is no such provider is told already
        elif kinds[target] != draft.kind:
            draft.table.report(("route", "to", value), f"leads to a source of {kinds[target]}, not of {draft.kind}")
        elif target != name and target in drafts and not drafts[target].has_secrets:
            drafts[target].provider = draft.provider
            drafts[target].has_secrets = draft.has_secrets


def _take_secrets(table: Table) -> Secrets | None:
    """Takes the list of secrets; None when it is empty, or when one of the secrets is missing."""
    found: list[Secret] = []
    complete = True
    for place, entry in enumerate(table.take_tables("secrets", otherwise=NOT_INLINE)):
        value, until = entry.resolve_secret(), entry.take_moment("until")
        label = entry.take_text("label") or label_of(place)
        entry.finish()
        if not _NAME.fullmatch(label):
            entry.report(("label",), _NAME_HELP)
        if label in {secret.label for secret in found}:
            entry.report(("label",), "another secret of this source has this label")
        complete = complete and value is not None
        found.append(Secret(value or "", label, until))
    if table.values.get("secrets") == []:
        table.report(("secrets",), "must not be empty")
    if len(found) > MOST_SECRETS:
        table.report(("secrets",), f"at most {MOST_SECRETS}")
    return Secrets(*found) if found and complete else None


def _take_options(table: Table, provider: type[Provider]) -> dict[str, str] | None:
    """Takes the options that a provider needs, by their settings' names; None when one is missing."""
    if not provider.option_settings:
        return {}
    options = table.take_table("options", required=True)
    if options is None:
        return None
    taken = {}
    for setting in provider.option_settings:
        key = option_key(provider, setting)
        is_secret = setting in provider.secret_options
        taken[setting] = options.take_secret(key, required=True) if is_secret else options.take_text(key, required=True)
    options.finish()
    return {setting: value for setting, value in taken.items() if value is not None} if all(taken.values()) else None


def _places(table: Table, provider: type[Provider]) -> dict[str, str]:
    """Returns where a table without problems has what each setting of its provider would say."""
    options = {setting: option_key(provider, setting) for setting in provider.option_settings}
    secrets = {setting: table.values["options"][options[setting]] for setting in provider.secret_options}
    secrets[provider.secret_setting] = table.values["secrets"][0]
    return {setting: f"options.{key}" for setting, key in options.items()} | {
        setting: holder.get("env") or f"the file {holder['file']}" for setting, holder in secrets.items()
    }


def option_key(provider: type[Provider], setting: str) -> str:
    """Returns the key of an option in the file: its setting's name without the provider's, in lower case."""
    return setting.lower().removeprefix(f"{provider.name}_")


def _place_of(of: str, provider: type[Provider], secrets: Secrets) -> tuple[str, ...]:
    """Returns the key path of the subject of a problem: a secret, named by its label, or an option."""
    if of in provider.option_settings:
        return ("options", option_key(provider, of))
    labels = [label for label, _ in secrets.labelled()]
    return ("secrets", str(labels.index(of)))


def _take_route(table: Table) -> tuple[Route | None, Mapping[str, str]]:
    route = table.take_table("route")
    if route is None:
        return None, {}
    by, to = route.take_text("by", required=True), route.take("to", dict, required=True) or {}
    route.finish()
    for value, target in to.items():
        if not isinstance(target, str):
            route.report(("to", value), "must be the name of a source")
    targets = {value: target for value, target in to.items() if isinstance(target, str)}
    try:
        return (None if by is None else Route(by, targets)), targets
    except ValueError as error:
        route.report(("by",), str(error))
        return None, targets
