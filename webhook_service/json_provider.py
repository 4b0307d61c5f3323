"""Flask's JSON by orjson."""

from typing import Any

import orjson
from flask import Response
from flask.json.provider import JSONProvider

from webhook_service.formats import encode_json


class OrjsonProvider(JSONProvider):
    """Writes what ``jsonify`` is given as ``encode_json`` does, so a view may pass on datetimes and stored JSON."""

    def dumps(self, obj: Any, **_options: Any) -> str:
        """Writes a value as JSON."""
        return encode_json(obj).decode()

    def loads(self, s: str | bytes, **_options: Any) -> Any:
        """Reads a JSON text."""
        return orjson.loads(s)

    def response(self, *args: Any, **kwargs: Any) -> Response:
        """Makes the response of ``jsonify``; its body is never held as text."""
        return Response(encode_json(self._prepare_response_obj(args, kwargs)), mimetype="application/json")
