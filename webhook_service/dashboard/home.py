"""The entry to the dashboard."""

from flask import Response, url_for

from webhook_service.dashboard.pages import Pages
from webhook_service.storage.database import Database
from webhook_service.storage.queries.counts import count_all
from webhook_service.web.redirects import redirect_to


def home_pages(database: Database) -> Pages:
    """Makes the routes that lead to the most useful page: the messages or, while there are none, setting up."""
    pages = Pages("home")

    @pages.get("/")
    def root() -> Response:
        return redirect_to(url_for("dashboard_home.home"))

    @pages.get("/dashboard/")
    def home() -> Response:
        with database.snapshot() as snapshot:
            is_empty = not count_all(snapshot)
        return redirect_to(url_for("dashboard_setup.show" if is_empty else "dashboard_messages.list_"))

    return pages
