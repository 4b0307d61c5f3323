"""The options by which commands choose messages."""

from collections.abc import Callable, Mapping
from typing import Any

import click

from webhook_service.domain.messages import MessageFilter
from webhook_service.schemas.export import load_export_parameters
from webhook_service.schemas.query import QueryInvalid

_OPTIONS = (
    click.option("--from", help="Only messages of this sender."),
    click.option("--to", help="Only messages to this recipient."),
    click.option("--source", help="Only messages of this source."),
    click.option("--provider", help="Only messages of this provider."),
    click.option("--type", help="Only messages of this type, such as image."),
    click.option("--since", help="Only messages from this time on, ISO 8601 with a zone."),
    click.option("--until", help="Only messages before this time."),
    click.option("--q", help="Only messages with this in their text, in any case."),
)


def filter_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """Adds an option for each part of a filter; the command gets them as keywords, None where one is not given."""
    for option in reversed(_OPTIONS):
        command = option(command)
    return command


def load_filter(options: Mapping[str, str | None]) -> MessageFilter:
    """Makes a filter of what the options say.

    Raises click.BadParameter, which names the option.
    """
    given = {name: value for name, value in options.items() if value is not None}
    try:
        return load_export_parameters(given).filter
    except QueryInvalid as invalid:
        name, reasons = next(iter(invalid.problems.items()))
        raise click.BadParameter(reasons[0], param_hint=f"--{name}") from None
