"""``agent``, which answers twice: when the run is accepted, and when it ended; and ``agent.wait``."""

from __future__ import annotations

from typing import Any

from app.agents.outcomes import Outcome
from app.agents.run import Run
from app.auth import WRITE
from app.gateway_ws import turns
from app.gateway_ws.method import Call, Method
from app.gateway_ws.model_choice import model_named
from app.gateway_ws.params import Flag, Ignored, Text, not_here, params, whole
from app.gateway_ws.times import ms
from app.gateway_ws.turns import RunFailed
from app.gateway_ws.usage import usage_of
from app.sessions.store import DONE
from app.sessions.transcript import TurnOutcome

# Seconds between two looks at a run that takes its time; its own deadline ends it.
ASK_AGAIN = 3600.0
# Milliseconds.
WAIT_MS, MAX_WAIT_MS = 30_000, 3600 * 1000

_AGENT = params(
    message=turns.message_text(),
    agentId=Text(),
    sessionKey=Text(minimum=0),
    idempotencyKey=turns.run_id(),
    extraSystemPrompt=Text(200_000, minimum=0, strip=False),
    timeout=whole(0, turns.MAX_TIMEOUT_MS // 1000),
    thinking=Text(32, minimum=0),
    attachments=turns.attachments(),
    model=Text(minimum=0),
    provider=Text(minimum=0),
    sessionId=Text(minimum=0),
    label=Ignored(),
    deliver=not_here(False),
    to=not_here(),
    cwd=not_here(),
    promptMode=not_here("full"),
    modelRun=not_here(False),
    sessionEffects=not_here("visible"),
    suppressPromptPersistence=not_here(False),
    swarmCollector=not_here(False),
    swarmOutputSchema=not_here(),
    internalEvents=not_here([]),
    expectedExistingSessionId=not_here(),
    lane=Ignored(),
    channel=Ignored(),
    replyTo=Ignored(),
    replyChannel=Ignored(),
    accountId=Ignored(),
    replyAccountId=Ignored(),
    threadId=Ignored(),
    groupId=Ignored(),
    groupChannel=Ignored(),
    groupSpace=Ignored(),
    bestEffortDeliver=Flag(),
    bootstrapContextMode=Ignored(),
    bootstrapContextRunKind=Ignored(),
    inputProvenance=Ignored(),
    sourceReplyDeliveryMode=Ignored(),
    disableMessageTool=Flag(),
    cleanupBundleMcpOnRunEnd=Flag(),
    voiceWakeTrigger=Ignored(),
)
_WAIT = params(runId=turns.run_id(), timeoutMs=whole(0, MAX_WAIT_MS))


def _agent(call: Call) -> dict[str, Any]:
    given = call.params
    agent, key = turns.session_of(call, given.get("sessionKey") or None)
    call.connection.check_room()
    begun = turns.begin(
        call,
        agent,
        key,
        given["idempotencyKey"],
        seconds=given.get("timeout"),
        instructions=given.get("extraSystemPrompt", ""),
        model=model_named(call, agent, given["model"], given.get("provider")) if given.get("model") else None,
    )
    if (run := begun.run) is None:
        return _completed(given["idempotencyKey"], begun.ended)
    call.connection.wait_for(_answer_again, call, run)
    # Also to whoever asks again: clients take any other status for the last answer.
    return {
        "runId": run.id,
        "sessionKey": key,
        "agentId": agent.id,
        "status": "accepted",
        "acceptedAt": ms(run.started),
    }


def _answer_again(call: Call, run: Run) -> None:
    """The second response: how the run ended."""
    services = call.plane.services
    outcome = None
    while outcome is None:
        outcome = services.runs.outcomes.wait(run.id, ASK_AGAIN)
    if outcome.error is not None:
        call.connection.fail(call.id, RunFailed(run.id, outcome.error.message, outcome.error))
    else:
        stored = services.sessions.turn_of_run(run.id)
        call.connection.respond(call.id, _completed(run.id, stored, outcome.finish_reason))


def _completed(run_id: str, outcome: TurnOutcome | None, stop_reason: str | None = None) -> dict[str, Any]:
    """outcome: None when its session is deleted already. stop_reason: as long as it is known."""
    told = {"runId": run_id, "status": "ok", "summary": "completed"}
    if outcome is None:
        return told
    provider, _, model = (outcome.end.model or "").partition("/")
    meta: dict[str, Any] = {
        "durationMs": ms(outcome.end.ended_at - outcome.end.started_at),
        "agentMeta": {
            "sessionId": outcome.session_id,
            "provider": provider,
            "model": model,
            "usage": usage_of(outcome.end.usage),
        },
    }
    if stop_reason is not None:
        meta["stopReason"] = stop_reason
    return {**told, "result": {"payloads": [{"text": outcome.text}] if outcome.text else [], "meta": meta}}


def _wait(call: Call) -> dict[str, Any]:
    services, run_id = call.plane.services, call.params["runId"]
    seconds = call.params.get("timeoutMs", WAIT_MS) / 1000
    runs = services.runs
    if runs.find(run_id) is None and runs.outcomes.get(run_id) is None:
        stored = services.sessions.turn_of_run(run_id)
        if stored is not None:
            call.reach.check(stored.key)
            end = stored.end
            return _ended(run_id, end.started_at, end.ended_at, None if end.status == DONE else end.error or end.status)
    if (run := runs.find(run_id)) is not None:
        call.reach.check(run.turn.session_key)
    outcome: Outcome | None = runs.outcomes.wait(run_id, seconds)
    if outcome is not None:
        # Nobody may have known of it before.
        call.reach.check(outcome.session_key)
        return _ended(run_id, outcome.started, outcome.ended, outcome.error.message if outcome.error else None)
    if (run := runs.find(run_id)) is not None:
        call.reach.check(run.turn.session_key)
    return {"runId": run_id, "status": "timeout", **({"startedAt": ms(run.started)} if run else {})}


def _ended(run_id: str, started: float, ended: float, error: str | None) -> dict[str, Any]:
    told: dict[str, Any] = {
        "runId": run_id,
        "status": "ok" if error is None else "error",
        "startedAt": ms(started),
        "endedAt": ms(ended),
    }
    return told if error is None else {**told, "error": error}


METHODS = (
    Method("agent", WRITE, _AGENT, _agent),
    Method("agent.wait", WRITE, _WAIT, _wait, waits=True),
)
