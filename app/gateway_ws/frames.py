"""The frames of the protocol, versions 3 and 4: one JSON object in each text message.

Source: ``protocol.schema.json`` of the npm package ``@openclaw/gateway-protocol``.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

import orjson
from marshmallow import ValidationError, fields

from app import large_json
from app.errors import (
    ContextOverflow,
    Forbidden,
    GatewayError,
    InvalidRequest,
    ModelNotFound,
    NotFound,
    ProviderRefused,
)
from app.gateway_ws.params import Text, load, params
from app.http.fields import first_fault
from app.providers.retry_after import seconds_until

# What a response says where its request has no id that could be read.
NO_ID = "invalid"
MAX_ID = 256
# Of a frame. marshmallow makes an error of each that it doesn't know.
MAX_MEMBERS = 20

_FRAME = params(
    type=Text(required=True),
    id=Text(MAX_ID, required=True, strip=False),
    method=Text(required=True),
    params=fields.Raw(allow_none=True),
    traceparent=Text(128),
)


class RequestFrame(NamedTuple):
    id: str
    method: str
    params: Any


class NoRequest(Exception):
    """A message that is no request frame. ``id``: the one that its answer has; ``reason``: what is wrong with it."""

    def __init__(self, reason: str, id: str = NO_ID) -> None:
        super().__init__(reason)
        self.reason = reason
        self.id = id


def parse(message: bytes | None) -> RequestFrame:
    """message: as ``Socket.receive`` has it. Cooperative. Raises NoRequest."""
    if message is None:
        raise NoRequest("invalid request frame: binary; frames are text")
    try:
        given = large_json.loads(message)
    except orjson.JSONDecodeError as error:
        raise NoRequest(f"invalid request frame: not JSON: {error.msg}"[:300]) from None
    if not isinstance(given, dict):
        raise NoRequest("invalid request frame: not an object")
    id = given.get("id")
    answer_id = id if isinstance(id, str) and 0 < len(id) <= MAX_ID else NO_ID
    try:
        if len(given) > MAX_MEMBERS:
            raise ValidationError(f"has {len(given):,} members", "members")
        frame = load(_FRAME, given)
    except ValidationError as error:
        where, reason = first_fault(error.messages)
        raise NoRequest(f"invalid request frame: {where}: {reason}"[:300], answer_id) from None
    if frame["type"] != "req":
        raise NoRequest('invalid request frame: type: must be "req"', answer_id)
    return RequestFrame(frame["id"], frame["method"], frame.get("params"))


def response(id: str, payload: Any) -> bytes:
    return dumps({"type": "res", "id": id, "ok": True, "payload": payload})


def failure(id: str, error: GatewayError) -> bytes:
    return dumps({"type": "res", "id": id, "ok": False, "error": shape(error)})


def event(name: str, payload: Any, versions: Mapping[str, int] | None = None) -> bytes:
    """An event but for its end, which ``numbered`` adds: one event goes to many connections."""
    frame = {"type": "event", "event": name, "payload": payload}
    return dumps(frame if versions is None else {**frame, "stateVersion": versions})[:-1]


def numbered(event: bytes, seq: int) -> bytes:
    """seq: counts the events of one connection."""
    return b'%b,"seq":%d}' % (event, seq)


def unnumbered(event: bytes) -> bytes:
    return event + b"}"


def shape(error: GatewayError) -> dict[str, Any]:
    """An error as responses carry it: ``{code, message, details?, retryable?, retryAfterMs?}``."""
    told: dict[str, Any] = {"code": _code(error), "message": error.message}
    if error.details is not None:
        told["details"] = error.details
    if told["code"] == "UNAVAILABLE":
        told["retryable"] = getattr(error, "retryable", True)
    if (seconds := seconds_until(error.headers.get("Retry-After", ""))) is not None:
        told["retryAfterMs"] = seconds * 1000
    return told


def dumps(value: Any) -> bytes:
    return orjson.dumps(value)


def _code(error: GatewayError) -> str:
    if isinstance(error, (NotFound, ModelNotFound)):
        return "NOT_FOUND"
    if isinstance(error, Forbidden):
        return "FORBIDDEN"
    if isinstance(error, (InvalidRequest, ProviderRefused, ContextOverflow)) or error.status == 401:
        return "INVALID_REQUEST"
    return "UNAVAILABLE"
