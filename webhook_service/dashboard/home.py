"""The entry to the dashboard."""

from flask import Response, url_for

from webhook_service.dashboard.pages import Pages
from webhook_service.domain.messages import MessageFilter, MessageQuery, Order
from webhook_service.storage.database import Database
from webhook_service.storage.queries.pages import read_page
from webhook_service.web.redirects import redirect_to

# An inbox with nothing but test messages is still being set up.
_ANY_OF_A_SENDER = MessageQuery(MessageFilter(for_programs=True), limit=1, order=Order.DESC)


def home_pages(database: Database) -> Pages:
    """Makes the routes that lead to the most useful page: the messages or, until a sender has sent one, setting up."""
    pages = Pages("home")

    @pages.get("/")
    def root() -> Response:
        return redirect_to(url_for("dashboard_home.home"))

    @pages.get("/dashboard/")
    def home() -> Response:
        with database.snapshot() as snapshot:
            is_empty = not read_page(snapshot, _ANY_OF_A_SENDER).items
        return redirect_to(url_for("dashboard_setup.show" if is_empty else "dashboard_messages.list_"))

    return pages
