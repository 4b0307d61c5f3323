"""The application for a server that gives its clients little time, in a test that can't wait as long as a real one."""

from webhook_service.app import create_app
from webhook_service.serving import connection

connection.MAX_TRANSFER = 0.3
connection.MAX_QUEUED = 0.3

app = create_app()
