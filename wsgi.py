"""The WSGI application, for gunicorn."""

from webhook_service.app import create_app

app = create_app()
