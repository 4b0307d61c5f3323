"""JSON for Flask, by orjson."""

from typing import Any

import orjson
from flask import Response
from flask.json.provider import JSONProvider

from webhook_service.domain.formats import encode_json


class OrjsonProvider(JSONProvider):
    """JSON by ``encode_json``, so that views may pass datetimes and ``orjson.Fragment`` to ``jsonify``."""

    def dumps(self, obj: Any, **_options: Any) -> str:
        """Encodes a value as text; options are ignored."""
        return encode_json(obj).decode()

    def loads(self, s: str | bytes, **_options: Any) -> Any:
        """Decodes a JSON text; options are ignored."""
        return orjson.loads(s)

    def response(self, *args: Any, **kwargs: Any) -> Response:
        """Encodes a response for ``jsonify`` straight to bytes."""
        return Response(encode_json(self._prepare_response_obj(args, kwargs)), mimetype="application/json")
