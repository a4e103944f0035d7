"""``chat.send``, ``sessions.send`` and their aborts: turns in sessions."""

from __future__ import annotations

import time
from typing import Any

from app.agents.run import Run
from app.auth import WRITE
from app.errors import InvalidRequest, RunCancelled
from app.gateway_ws import turns
from app.gateway_ws.method import Call, Method
from app.gateway_ws.params import Flag, Ignored, Text, not_here, params
from app.gateway_ws.session_keys import resolve
from app.ids import new_uuid

# Seconds in which a run that is aborted ends, its tools included.
END_SECONDS = 2.5

_SEND = params(
    sessionKey=Text(required=True),
    agentId=Text(),
    sessionId=Text(),
    message=turns.message_text(),
    idempotencyKey=turns.run_id(),
    attachments=turns.attachments(),
    thinking=Text(32, minimum=0),
    timeoutMs=turns.timeout_ms(),
    deliver=not_here(False),
    queueMode=not_here("followup", "collect"),
    intent=not_here(),
    toolBindings=not_here({}),
    expectedLeafEntryId=not_here(),
    expectedSessionRoutingContract=not_here(),
    expectedPermissionMode=not_here(),
    expectedToolOverrides=not_here(),
    systemProvenanceReceipt=not_here(),
    fastMode=Ignored(),
    fastAutoOnSeconds=Ignored(),
    originatingChannel=Ignored(),
    originatingTo=Ignored(),
    originatingAccountId=Ignored(),
    originatingThreadId=Ignored(),
    replyToId=Ignored(),
    systemInputProvenance=Ignored(),
    suppressCommandInterpretation=Flag(),
)
_SESSION_SEND = params(
    key=Text(required=True),
    agentId=Text(),
    message=turns.message_text(),
    thinking=Text(32, minimum=0),
    attachments=turns.attachments(),
    timeoutMs=turns.timeout_ms(),
    idempotencyKey=turns.run_id(required=False),
)
_ABORT = params(
    sessionKey=Text(required=True), agentId=Text(), runId=turns.run_id(required=False), preserveSideRuns=Flag()
)
_SESSION_ABORT = params(key=Text(), runId=turns.run_id(required=False), agentId=Text(), clearQueued=Flag())


def _send(call: Call) -> dict[str, Any]:
    return _begin(call, call.params["sessionKey"], call.params["idempotencyKey"])


def _session_send(call: Call) -> dict[str, Any]:
    return _begin(call, call.params["key"], call.params.get("idempotencyKey") or new_uuid())


def _begin(call: Call, key: str, run_id: str) -> dict[str, Any]:
    agent, key = turns.session_of(call, key)
    begun = turns.begin(call, agent, key, run_id, seconds=call.params.get("timeoutMs", 0) / 1000)
    return {"runId": run_id, "sessionKey": key, "status": begun.status}


def _abort(call: Call) -> dict[str, Any]:
    settings, given = call.plane.services.live.current, call.params
    _, key = resolve(settings, call.reach, given["sessionKey"], given.get("agentId"))
    ended = _cancel(call, _wanted(call, key, call.params.get("runId")))
    return {"ok": True, "aborted": bool(ended), "runIds": ended}


def _session_abort(call: Call) -> dict[str, Any]:
    given, runs = call.params, call.plane.services.runs
    run_id = given.get("runId")
    if "key" in given:
        settings = call.plane.services.live.current
        _, key = resolve(settings, call.reach, given["key"], given.get("agentId"), param="key")
        wanted = _wanted(call, key, run_id)
    elif run_id is not None:
        wanted = [run for run in [runs.find(run_id)] if run is not None]
        for run in wanted:
            call.reach.check(run.turn.session_key)
    else:
        raise InvalidRequest("key: name a session, or a run by runId", param="key")
    ended = _cancel(call, wanted)
    return {
        "ok": True,
        "abortedRunId": ended[0] if ended else None,
        "runIds": ended,
        "status": "aborted" if ended else "no-active-run",
    }


def _wanted(call: Call, key: str, run_id: str | None) -> list[Run]:
    active = call.plane.services.runs.of_session(key)
    return [run for run in active if run_id is None or run.id == run_id]


def _cancel(call: Call, wanted: list[Run]) -> list[str]:
    """The ids of those that ended so: others were faster with their answer."""
    why = RunCancelled(f"aborted by {call.connection.client['id']}")
    ending = [run for run in wanted if run.cancel(why)]
    deadline = time.monotonic() + END_SECONDS
    outcomes = [call.plane.services.runs.outcomes.wait(run.id, deadline - time.monotonic()) for run in ending]
    return [run.id for run, outcome in zip(ending, outcomes, strict=True) if outcome is None or outcome.error is why]


METHODS = (
    Method("chat.send", WRITE, _SEND, _send),
    Method("chat.abort", WRITE, _ABORT, _abort),
    Method("sessions.send", WRITE, _SESSION_SEND, _session_send),
    Method("sessions.abort", WRITE, _SESSION_ABORT, _session_abort),
)
