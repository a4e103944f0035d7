"""What OpenClaw publishes of the protocol, held against what the gateway sends.

Source: ``protocol.schema.json`` of the npm package ``@openclaw/gateway-protocol``, installed by
``make .venv/.installed-dev``.
"""

from __future__ import annotations

import json
from functools import cache
from typing import Any

from jsonschema import Draft7Validator
from jsonschema.exceptions import best_match

from tests.live.gateway import ROOT

Schema = dict[str, Any]

PUBLISHED: Schema = json.loads(
    (ROOT / "tests/compat/node_modules/@openclaw/gateway-protocol/protocol.schema.json").read_bytes()
)
DEFINITIONS: dict[str, Schema] = PUBLISHED["definitions"]

# An AgentEvent is published without these two, though the protocol sends them and OpenClaw's own clients read them.
BESIDE_AGENT_EVENT = ("sessionKey", "agentId")


def check_frame(frame: dict[str, Any]) -> None:
    """A frame from the gateway, with its payload where that is published. Raises AssertionError."""
    match frame.get("type"):
        case "event":
            _check(_definition("EventFrame"), frame, "event")
            _check_event(frame["event"], frame.get("payload"))
        case "res":
            _check(_definition("ResponseFrame"), frame, "response")
            _check_response(frame)
        case other:
            raise AssertionError(f"a gateway sends events and responses, not {other!r}")


def check_result(method: str, payload: Any) -> None:
    """The payload of a response, for methods whose result is published. Raises AssertionError."""
    if method in _RESULTS:
        _check(_result(method), payload, f"result of {method}")


def _check_event(name: str, payload: Any) -> None:
    if name == "agent":
        assert isinstance(payload, dict), f"event agent: {payload!r} is no object"
        assert all(isinstance(payload.get(key), str) for key in BESIDE_AGENT_EVENT), f"event agent: {payload}"
        payload = {key: value for key, value in payload.items() if key not in BESIDE_AGENT_EVENT}
    elif name == "chat" and isinstance(payload, dict) and payload.get("state") in _CHAT:
        # The same as ChatEvent, which is all of them together, with an error that says what is wrong.
        _check(_definition(_CHAT[payload["state"]]), payload, "event chat")
        return
    if name in _EVENTS:
        _check(_event(name), payload, f"event {name}")


def _check_response(frame: dict[str, Any]) -> None:
    assert frame["ok"] is ("error" not in frame), f"response: ok is {frame['ok']}, its keys are {sorted(frame)}"
    if frame["ok"]:
        payload = frame.get("payload")
        if isinstance(payload, dict) and payload.get("type") == "hello-ok":
            _check(_definition("HelloOk"), payload, "hello-ok")
        return
    details = frame["error"].get("details")
    code = details.get("code") if isinstance(details, dict) else None
    if code in _DETAILS:
        _check(_definition(_DETAILS[code]), details, f"details of {code}")


def _check(validator: Draft7Validator, value: Any, what: str) -> None:
    if (error := best_match(validator.iter_errors(value))) is not None:
        where = "".join(f"[{step}]" if isinstance(step, int) else f".{step}" for step in error.absolute_path)
        raise AssertionError(f"{what}{where}: {error.message[:1000]}")


@cache
def _definition(name: str) -> Draft7Validator:
    return Draft7Validator(DEFINITIONS[name])


@cache
def _event(name: str) -> Draft7Validator:
    return Draft7Validator(_EVENTS[name])


@cache
def _result(method: str) -> Draft7Validator:
    return Draft7Validator(_RESULTS[method])


def _having(**properties: Schema) -> Schema:
    return {"type": "object", "required": list(properties), "properties": properties}


def _each(schema: Schema) -> Schema:
    return {"type": "array", "items": schema}


_HEALTH: Schema = DEFINITIONS["Snapshot"]["properties"]["health"]
_PRESENCE = _each(DEFINITIONS["PresenceEntry"])
_SESSION = DEFINITIONS["SessionRow"]

_CHAT = {state: f"Chat{state.capitalize()}Event" for state in ("status", "delta", "final", "aborted", "error")}

_EVENTS: dict[str, Schema] = {
    "agent": DEFINITIONS["AgentEvent"],
    "chat": DEFINITIONS["ChatEvent"],
    "health": _HEALTH,
    "presence": _having(presence=_PRESENCE),
    "shutdown": DEFINITIONS["ShutdownEvent"],
    "tick": DEFINITIONS["TickEvent"],
}

_RESULTS: dict[str, Schema] = {
    "agents.list": DEFINITIONS["AgentsListResult"],
    "config.schema": DEFINITIONS["ConfigSchemaResponse"],
    "health": _HEALTH,
    "logs.tail": DEFINITIONS["LogsTailResult"],
    "models.list": DEFINITIONS["ModelsListResult"],
    "sessions.create": DEFINITIONS["SessionsCreateResult"],
    "sessions.delete": DEFINITIONS["SessionsDeleteResult"],
    "sessions.describe": _having(session={"anyOf": [{"type": "null"}, _SESSION]}),
    "sessions.list": _having(sessions=_each(_SESSION)),
    "sessions.resolve": DEFINITIONS["SessionsResolveResult"],
    "system-presence": _PRESENCE,
    "tools.catalog": DEFINITIONS["ToolsCatalogResult"],
    "tools.effective": DEFINITIONS["ToolsEffectiveResult"],
    "tools.invoke": DEFINITIONS["ToolsInvokeResult"],
}

_DETAILS: dict[str, str] = {
    definition["properties"]["code"]["const"]: name
    for name, definition in DEFINITIONS.items()
    if name.endswith("ErrorDetails") and "const" in definition.get("properties", {}).get("code", {})
}
