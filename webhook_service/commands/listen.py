"""``webhook-service listen``."""

import base64
import os
import secrets
from collections.abc import Iterable
from signal import SIGINT, signal
from typing import Any

import click

from webhook_service.commands.remote import InboxAway, InboxRefused, RemoteInbox, write_line
from webhook_service.commands.urls import check_url
from webhook_service.domain.destinations import Target
from webhook_service.domain.formats import encode_json, parse_timestamp
from webhook_service.domain.secrets import Secrets
from webhook_service.outlet.ip_addresses import EVERYWHERE
from webhook_service.outlet.sender import Sender
from webhook_service.outlet.signing import header_id
from webhook_service.providers.standard import decode_standard_secret

NOW = "now"


def _check_since(_context: click.Context, _option: click.Parameter, since: str) -> str:
    try:
        if since != NOW:
            parse_timestamp(since)
    except ValueError:
        raise click.BadParameter("not an ISO 8601 timestamp with a time zone") from None
    return since


def _check_secret(_context: click.Context, _option: click.Parameter, secret: str | None) -> str | None:
    try:
        if secret is not None:
            decode_standard_secret(secret)
    except ValueError:
        raise click.BadParameter("not base64, with or without whsec_ before it") from None
    return secret


@click.command()
@click.option("--server", required=True, callback=check_url, help="Base URL of the inbox.")
@click.option("--token", envvar="API_TOKEN", help="Its API token.  [default: API_TOKEN of the environment]")
@click.option("--to", callback=check_url, help="URL to push to, such as http://localhost:3000/hook.")
@click.option("--secret", callback=_check_secret, help="What to sign with.  [default: a new one, which is shown]")
@click.option("--since", default=NOW, show_default=True, callback=_check_since, help="Where to begin: a time, or now.")
@click.option("--replay", metavar="ID", help="Push the message with this ID alone.")
@click.option("--print", "prints", is_flag=True, help="Write each message to standard output, as a line of JSON.")
def listen(server: str, token: str | None, to: str | None, secret: str | None, **what: Any) -> None:
    """Follow a remote inbox, and push each message to a local address as a destination would.

    It makes nothing on the server, and a message that the address doesn't take is not tried again: --replay does that.
    """
    if to is None and not what["prints"]:
        raise click.UsageError("say where to push with --to, or --print")
    _end_at_interrupt()
    inbox = RemoteInbox(server, token)
    line = Relay(to, secret, prints=what["prints"])
    try:
        if what["replay"] is not None:
            messages: Iterable[dict[str, Any]] = [_find(inbox, what["replay"])]
        else:
            messages = inbox.follow(what["since"])
        took_all = True
        for message in messages:
            took_all = line.pass_on(message) and took_all
    except InboxRefused as refused:
        raise click.ClickException(str(refused)) from None
    finally:
        line.close()
        inbox.close()
    if not took_all:
        raise SystemExit(1)


def _end_at_interrupt() -> None:
    """Makes Ctrl-C end the process at once.

    A KeyboardInterrupt would be lost when it is raised in a finalizer, and each response of a server has one. What was
    written is flushed already.
    """
    signal(SIGINT, lambda *_: os._exit(128 + SIGINT))


def _find(inbox: RemoteInbox, message_id: str) -> dict[str, Any]:
    try:
        message = inbox.find(message_id)
    except InboxAway as away:
        raise click.ClickException(str(away)) from None
    if message is None:
        raise click.ClickException("there is no message with this ID")
    return message


class Relay:
    """A line that messages are passed on to: an address, standard output, or both."""

    def __init__(self, to: str | None, secret: str | None, *, prints: bool) -> None:
        self._prints = prints
        self._sender: Sender | None = None
        if to is None:
            return
        if secret is None:
            secret = "whsec_" + base64.b64encode(secrets.token_bytes(24)).decode()
            click.echo(f"Signing with {secret}", err=True)
        self._sender = Sender(Target(to, Secrets(secret), allowed_networks=EVERYWHERE))

    def pass_on(self, message: dict[str, Any]) -> bool:
        """Passes a message on and prints what came of it; False when the address did not take it."""
        if self._prints:
            write_line(message)
        if self._sender is None:
            return True
        message_id = str(message["message_id"])
        attempt = self._sender.send(message_id, encode_json(message))
        answered = attempt.status or attempt.failure
        click.echo(f"{answered} {attempt.seconds * 1000:.0f} ms {header_id(message_id)}", err=self._prints)
        return attempt.is_accepted

    def close(self) -> None:
        """Closes the connections."""
        if self._sender is not None:
            self._sender.close()
