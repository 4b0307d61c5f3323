"""The cheapest honest endpoint: reads the body, stores nothing."""

from flask import Flask, Response, request

app = Flask(__name__)


@app.post("/webhook")
def receive() -> Response:
    """Answers as the service does."""
    request.get_data(cache=False)
    return Response(b'{"status":"ok"}', content_type="application/json")
