"""The check that all tests of the control plane rely on, and what is served against what is published."""

from __future__ import annotations

from typing import Any

import pytest

from app.gateway_ws.methods import METHODS
from tests.gateway_ws.contract import DEFINITIONS, PUBLISHED, check_frame, check_result

RUN = {"runId": "r", "sessionKey": "agent:main:main", "agentId": "main", "seq": 1}
AGENT = {**RUN, "ts": 1, "stream": "assistant", "data": {"text": "hi", "delta": "hi"}}
DELTA = {**RUN, "state": "delta", "deltaText": "hi"}


def event(name: str, payload: Any, **more: Any) -> dict[str, Any]:
    return {"type": "event", "event": name, "payload": payload, **more}


def response(payload: Any) -> dict[str, Any]:
    return {"type": "res", "id": "1", "ok": True, "payload": payload}


def failure(**error: Any) -> dict[str, Any]:
    return {"type": "res", "id": "1", "ok": False, "error": {"code": "FORBIDDEN", "message": "no", **error}}


HELLO = {
    "type": "hello-ok",
    "protocol": 4,
    "server": {"version": "1", "connId": "c"},
    "features": {"methods": ["health"], "events": ["tick"]},
    "snapshot": {"presence": [], "health": {}, "stateVersion": {"presence": 1, "health": 1}, "uptimeMs": 1},
    "auth": {"role": "operator", "scopes": []},
    "policy": {"maxPayload": 1, "maxBufferedBytes": 1, "tickIntervalMs": 1},
}
RIGHT = {
    "agent": event("agent", AGENT, seq=1),
    "chat": event("chat", DELTA, seq=2),
    "health": event("health", {"ok": True, "ts": 1}, seq=3, stateVersion={"presence": 1, "health": 2}),
    "presence": event("presence", {"presence": [{"ts": 1, "host": "a"}]}),
    "of-no-published-shape": event("sessions.changed", {"sessionKey": "agent:main:main"}),
    "hello": response(HELLO),
    "error": failure(retryable=True, retryAfterMs=0),
    "error-details": failure(details={"code": "MISSING_SCOPE", "missingScope": "a", "requiredScopes": ["a"]}),
}
WRONG = {
    "a-request": ({"type": "req", "id": "1", "method": "health"}, "'req'"),
    "of-no-type": ({"event": "tick"}, "None"),
    "an-unknown-key": (event("tick", {"ts": 1}, id="1"), "event: .*'id' was unexpected"),
    "seq-of-text": (event("tick", {"ts": 1}, seq="1"), r"event\.seq"),
    "tick-without-time": (event("tick", {}), "event tick: 'ts' is a required property"),
    "shutdown-without-reason": (event("shutdown", {"restartExpectedMs": 1}), "'reason'"),
    "agent-with-more": (event("agent", {**AGENT, "phase": "end"}), "'phase' was unexpected"),
    "agent-of-no-session": (event("agent", {**AGENT, "sessionKey": None}), "event agent"),
    "agent-of-no-time": (event("agent", {**AGENT, "ts": -1}), r"event agent\.ts"),
    "chat-of-no-state": (event("chat", {**RUN, "state": "begun"}), "event chat"),
    "chat-with-more": (event("chat", {**DELTA, "stopReason": "stop"}), "'stopReason' was unexpected"),
    "chat-without-run": (event("chat", {**DELTA, "runId": ""}), r"event chat\.runId"),
    "health-with-more": (event("health", {"uptime": 1}), "'uptime' was unexpected"),
    "presence-without-time": (event("presence", {"presence": [{}]}), r"event presence\.presence\[0\]"),
    "hello-of-no-policy": (response({**HELLO, "policy": {}}), r"hello-ok\.policy"),
    "hello-with-more": (response({**HELLO, "motd": "hi"}), "'motd' was unexpected"),
    "ok-with-error": ({**failure(), "ok": True}, "ok is True"),
    "failed-without-error": ({**response(None), "ok": False}, "ok is False"),
    "error-without-message": (failure(message=""), r"response\.error\.message"),
    "details-with-more": (failure(details={"code": "UNKNOWN_AGENT_ID", "agentId": "a", "known": []}), "'known'"),
}
WRONG_RESULTS = {
    "agents.list": (
        {"defaultId": "main", "mainKey": "main", "scope": "one", "agents": []},
        r"result of agents.list\.scope",
    ),
    "sessions.list": ({"sessions": [{"key": "agent:main:main"}]}, r"sessions\[0\]: 'kind'"),
    "sessions.describe": ({"session": {"key": 1, "kind": "direct"}}, "session"),
    "system-presence": ([{"ts": 1, "port": 80}], "'port' was unexpected"),
    "models.list": ({"models": [{"id": "m", "name": "M"}]}, "'provider'"),
}
# Parameters of ``agent`` that a gateway of OpenClaw sends to itself.
INTERNAL = {
    "acpTurnSource",
    "execApprovalFollowupExpectedSessionId",
    "forceCodeModeTools",
    "forceRestartSafeTools",
    "internalExecutionIdentityRecoveryAttempt",
    "internalExecutionIdentityRetry",
    "internalRuntimeHandoffId",
}


@pytest.mark.parametrize("frame", RIGHT.values(), ids=list(RIGHT))
def test_what_is_published_passes(frame: dict[str, Any]) -> None:
    """A frame as the schema describes it is taken."""
    check_frame(frame)


@pytest.mark.parametrize(("frame", "why"), WRONG.values(), ids=list(WRONG))
def test_what_is_not_published_is_refused(frame: dict[str, Any], why: str) -> None:
    """A frame that the schema doesn't allow fails the test that heard it, with what is wrong and where."""
    with pytest.raises(AssertionError, match=why):
        check_frame(frame)


@pytest.mark.parametrize(
    ("method", "payload", "why"), [(name, *case) for name, case in WRONG_RESULTS.items()], ids=list(WRONG_RESULTS)
)
def test_a_result_of_another_shape_is_refused(method: str, payload: Any, why: str) -> None:
    """The payload of a response is held against the result that is published for its method."""
    with pytest.raises(AssertionError, match=why):
        check_result(method, payload)


@pytest.mark.parametrize("name", sorted(METHODS))
def test_a_method_is_a_published_one(name: str) -> None:
    """What is served has a name and a scope that OpenClaw's clients know."""
    published = PUBLISHED["methods"][name]
    assert published["scope"] in ("dynamic", METHODS[name].scope)


@pytest.mark.parametrize("name", sorted(METHODS))
def test_a_method_knows_the_published_parameters(name: str) -> None:
    """A parameter that OpenClaw's clients may send is known here, and no other is."""
    published = DEFINITIONS.get(definition_of(name))
    if published is None:
        pytest.skip("no parameters are published for it")
    assert set(METHODS[name].params.fields) == set(published.get("properties", ())) - INTERNAL


def definition_of(method: str) -> str:
    """``sessions.messages.subscribe`` has ``SessionsMessagesSubscribeParams``."""
    return "".join(part[:1].upper() + part[1:] for part in method.replace("-", ".").split(".")) + "Params"
