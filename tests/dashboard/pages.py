"""The dashboard as a browser without JavaScript gets it."""

from collections.abc import Iterator
from contextlib import AbstractContextManager
from html.parser import HTMLParser

from flask.testing import FlaskClient

from tests.support.app import application
from tests.support.deliveries import SECRET
from webhook_service.domain.secrets import Secrets
from webhook_service.providers.native import Native
from webhook_service.providers.whatsapp import WhatsApp

OWN = {"Sec-Fetch-Site": "same-origin"}


class Elements(HTMLParser):
    """The elements of a page, with their attributes."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.found: list[tuple[str, dict[str, str | None]]] = []
        self.feed(page)

    def found_with(self, name: str) -> dict[str, str | None]:
        """The attributes of the first element that has this one."""
        return next(attrs for _, attrs in self.found if name in attrs)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.found.append((tag, dict(attrs)))


def pages(url: str) -> AbstractContextManager[FlaskClient]:
    """Gives a client of an application with two providers on a database."""
    secrets = {Native.name: Secrets(SECRET), WhatsApp.name: Secrets(SECRET)}
    options = {Native.name: {}, WhatsApp.name: {"WHATSAPP_VERIFY_TOKEN": "token"}}
    return application(url, provider_secrets=secrets, provider_options=options)


def on_sqlite(sqlite_url: str) -> Iterator[FlaskClient]:
    """Such a client on SQLite, for what no database has a part in."""
    with pages(sqlite_url) as made:
        yield made


def on_each_database(database_url: str) -> Iterator[FlaskClient]:
    """Gives such a client on each kind of database, for tests in which the database has a part."""
    with pages(database_url) as made:
        yield made


def rows(page: str) -> list[str]:
    """The addresses behind the rows of a list."""
    return [attrs["href"] or "" for tag, attrs in Elements(page).found if tag == "a" and attrs.get("class") == "row"]
