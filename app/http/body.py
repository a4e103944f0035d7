"""A request's body: JSON by its Content-Type, within its limit, an object."""

from __future__ import annotations

from typing import Any

from gunicorn.http.errors import NoMoreData, ParseException
from werkzeug.sansio.utils import get_content_length

from app import large_json
from app.errors import BodyTooLarge, InvalidRequest, UnsupportedMediaType
from app.http import encodings, upload
from app.http.envelope import JSON


def read_json(environ: dict[str, Any], max_bytes: int, seconds: float) -> dict[str, Any]:
    """The body as a JSON object, unpacked where it was packed. Cooperative.

    seconds: for each ``upload.PIECE`` bytes of it. A body over ``max_bytes`` is refused without being read; the
    connection is closed after the answer. What was packed must stay within them in
    both forms. Raises UnsupportedMediaType, BodyTooLarge, RequestTimeout, InvalidRequest.
    """
    content_type = environ.get("CONTENT_TYPE", "")
    if content_type != JSON and not _is_json(content_type):
        raise UnsupportedMediaType("send the body with the header Content-Type: application/json")
    packed = environ.get("HTTP_CONTENT_ENCODING")
    codings = encodings.codings_of(packed) if packed else []
    try:
        body = _read(environ, max_bytes, seconds)
    except NoMoreData:
        raise InvalidRequest("the request body ended early") from None
    except ParseException as error:
        raise InvalidRequest(f"malformed request body: {error}"[:300]) from None
    if len(body) > max_bytes:
        raise _too_large(max_bytes)
    if codings:
        body = encodings.unpacked(body, codings, max_bytes)
    try:
        parsed = large_json.loads(body)
    except ValueError as error:
        raise InvalidRequest(f"the body is not valid JSON: {_not_utf8(body) or error}") from None
    if not isinstance(parsed, dict):
        raise InvalidRequest("the body must be a JSON object")
    return parsed


def _is_json(content_type: str) -> bool:
    mimetype = content_type.partition(";")[0].strip().lower()
    return mimetype == JSON or (mimetype.startswith("application/") and mimetype.endswith("+json"))


def _read(environ: dict[str, Any], max_bytes: int, seconds: float) -> bytes:
    length = get_content_length(
        http_content_length=environ.get("CONTENT_LENGTH"),
        http_transfer_encoding=environ.get("HTTP_TRANSFER_ENCODING"),
    )
    if length is not None and length > max_bytes:
        raise _too_large(max_bytes)
    body = upload.received(environ["wsgi.input"], length, max_bytes, seconds)
    if length is not None and len(body) < length:
        raise InvalidRequest("the request body ended early")
    return body


def _not_utf8(body: bytes) -> str:
    """What is wrong with the bytes as such; empty where nothing is."""
    try:
        body.decode()
    except UnicodeDecodeError as error:
        return f"it is not UTF-8 (byte 0x{body[error.start]:02x} at {error.start})"
    return ""


def _too_large(max_bytes: int) -> BodyTooLarge:
    return BodyTooLarge(f"the request body is larger than {max_bytes} bytes")
