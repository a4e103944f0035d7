"""A request's body: JSON by its Content-Type, within its limit, an object."""

from __future__ import annotations

from typing import Any

import orjson
from flask import Request
from gunicorn.http.errors import ParseException
from werkzeug.exceptions import ClientDisconnected

from app.errors import BodyTooLarge, InvalidRequest, UnsupportedMediaType


def read_json(request: Request, max_bytes: int) -> dict[str, Any]:
    """The body as a JSON object. Raises UnsupportedMediaType, BodyTooLarge, InvalidRequest.

    A body over ``max_bytes`` is refused without being read; the connection is closed after the answer.
    """
    mimetype = request.mimetype
    if mimetype != "application/json" and not (mimetype.startswith("application/") and mimetype.endswith("+json")):
        raise UnsupportedMediaType("send the body with the header Content-Type: application/json")
    length = request.content_length
    if length is not None and length > max_bytes:
        raise _too_large(max_bytes)
    # Werkzeug cuts a chunked body at its limit without a word: one byte more tells whether there was more.
    request.max_content_length = max_bytes + 1
    try:
        body = request.get_data(cache=False)
    except ClientDisconnected:
        raise InvalidRequest("the request body ended early") from None
    except ParseException as error:
        raise InvalidRequest(f"malformed request body: {error}"[:300]) from None
    if len(body) > max_bytes:
        raise _too_large(max_bytes)
    try:
        parsed = orjson.loads(body)
    except orjson.JSONDecodeError as error:
        raise InvalidRequest(f"the body is not valid JSON: {error}") from None
    if not isinstance(parsed, dict):
        raise InvalidRequest("the body must be a JSON object")
    return parsed


def _too_large(max_bytes: int) -> BodyTooLarge:
    return BodyTooLarge(f"the request body is larger than {max_bytes} bytes")
