"""Who hears of which sessions: ``sessions.subscribe``, ``sessions.messages.subscribe`` and its opposite.

Subscribers hear ``sessions.changed`` until they disconnect, and ``session.message`` of the sessions that they name.
"""

from __future__ import annotations

from typing import Any

from app.auth import READ
from app.errors import InvalidRequest
from app.gateway_ws.method import Call, Method
from app.gateway_ws.params import Ignored, Text, params
from app.gateway_ws.session_keys import resolve

# Sessions that one connection may hear the messages of.
MAX_WATCHED = 1000

_ALL = params()
_ONE = params(key=Text(required=True), agentId=Text(), includeApprovals=Ignored())
_NO_MORE = params(key=Text(required=True), agentId=Text())


def _subscribe(call: Call) -> dict[str, Any]:
    call.connection.watches_sessions = True
    return {"subscribed": True}


def _subscribe_messages(call: Call) -> dict[str, Any]:
    key, watched = _key(call), call.connection.watched_keys
    if len(watched) >= MAX_WATCHED and key not in watched:
        raise InvalidRequest(f"key: {MAX_WATCHED} sessions are subscribed already; unsubscribe from one", param="key")
    watched.add(key)
    return {"subscribed": True, "key": key}


def _unsubscribe_messages(call: Call) -> dict[str, Any]:
    key = _key(call)
    call.connection.watched_keys.discard(key)
    return {"subscribed": False, "key": key}


def _key(call: Call) -> str:
    settings = call.plane.services.live.current
    return resolve(settings, call.reach, call.params["key"], call.params.get("agentId"), param="key")[1]


METHODS = (
    Method("sessions.subscribe", READ, _ALL, _subscribe),
    Method("sessions.messages.subscribe", READ, _ONE, _subscribe_messages),
    Method("sessions.messages.unsubscribe", READ, _NO_MORE, _unsubscribe_messages),
)
