"""``agent``, which answers twice: when the run is accepted, and when it ended; and ``agent.wait``."""

from __future__ import annotations

import time
from typing import Any

import gevent

from app.agents.events import Ended
from app.agents.outcomes import Outcome
from app.agents.run import Run
from app.auth import ADMIN, WRITE
from app.config.settings import ModelChoice
from app.errors import GatewayError, InvalidRequest, Overloaded, RunCancelled
from app.gateway_ws import turns
from app.gateway_ws.method import Call, Method
from app.gateway_ws.params import Flag, Ignored, Text, not_here, params, whole
from app.gateway_ws.session_keys import MAIN_KEY, resolve
from app.gateway_ws.usage import usage_of
from app.sessions.store import DONE

# Milliseconds.
WAIT_MS, MAX_WAIT_MS = 30_000, 3600 * 1000

_AGENT = params(
    message=turns.message_text(),
    agentId=Text(),
    sessionKey=Text(),
    idempotencyKey=turns.run_id(),
    extraSystemPrompt=Text(200_000, minimum=0, strip=False),
    timeout=whole(0, turns.MAX_TIMEOUT_MS // 1000),
    thinking=Text(32),
    attachments=turns.attachments(),
    model=Text(),
    provider=Text(),
    sessionId=Text(),
    label=Text(),
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
    settings = call.plane.services.live.current
    agent, key = resolve(settings, given.get("sessionKey") or MAIN_KEY, given.get("agentId"))
    run_id = given["idempotencyKey"]
    started = turns.begin(
        call,
        agent,
        key,
        run_id,
        given["message"],
        given=given.get("attachments", ()),
        thinking=given.get("thinking"),
        seconds=given.get("timeout"),
        instructions=given.get("extraSystemPrompt", ""),
        model=_model(call),
    )
    accepted = {"runId": run_id, "sessionKey": key, "agentId": agent.id}
    if started.run is None and started.status != "in_flight":
        return {**accepted, "status": "ok", "summary": "completed before"}
    run = started.run or call.plane.services.runs.find(run_id)
    if run is None:
        return {**accepted, "status": "ok", "summary": "completed before"}
    began = started.run is not None
    run.listen(lambda event: gevent.spawn(_answer_again, call, run, event) if isinstance(event, Ended) else None)
    status = "accepted" if began else "in_flight"
    return {**accepted, "status": status, "acceptedAt": int(run.started * 1000)}


def _model(call: Call) -> ModelChoice | None:
    """Raises InvalidRequest, Forbidden."""
    wanted = call.params.get("model")
    if wanted is None:
        return None
    call.connection.require(ADMIN)
    if (provider := call.params.get("provider")) is not None and "/" not in wanted:
        wanted = f"{provider}/{wanted}"
    if not call.plane.services.catalogue.knows(wanted):
        raise InvalidRequest(f"model: {wanted[:100]!r} is not in models.providers", param="model")
    return ModelChoice(wanted)


def _answer_again(call: Call, run: Run, ended: Ended) -> None:
    """The second response: how the run ended."""
    if ended.error is not None:
        call.connection.fail(call.id, _told(ended.error, run.id))
        return
    session = call.plane.services.sessions.info(run.turn.session_key)
    provider, _, model = run.model.partition("/")
    text = run.answer.text
    meta = {
        "durationMs": int((time.time() - run.started) * 1000),
        "agentMeta": {
            "sessionId": session.session_id if session else None,
            "provider": provider,
            "model": model,
            "usage": usage_of(ended.usage),
        },
        "stopReason": ended.finish_reason,
    }
    call.connection.respond(
        call.id,
        {
            "runId": run.id,
            "status": "ok",
            "summary": "completed",
            "result": {"payloads": [{"text": text}] if text else [], "meta": meta},
        },
    )


def _told(error: GatewayError, run_id: str) -> GatewayError:
    """Whatever ended the run, the request itself was right: ``UNAVAILABLE``, with what happened in its details."""
    told = Overloaded(error.message, retry_after=0)
    told.headers = dict(error.headers)
    status = "aborted" if isinstance(error, RunCancelled) else "error"
    told.details = {"runId": run_id, "status": status, "type": error.type, "code": error.code}
    return told


def _wait(call: Call) -> dict[str, Any]:
    services, run_id = call.plane.services, call.params["runId"]
    seconds = call.params.get("timeoutMs", WAIT_MS) / 1000
    runs = services.runs
    if runs.find(run_id) is None and runs.outcomes.get(run_id) is None:
        stored = services.sessions.turn_of_run(run_id)
        if stored is not None:
            end = stored.end
            return _ended(run_id, end.started_at, end.ended_at, None if end.status == DONE else end.error or end.status)
    outcome: Outcome | None = runs.outcomes.wait(run_id, seconds)
    if outcome is not None:
        return _ended(run_id, outcome.started, outcome.ended, outcome.error.message if outcome.error else None)
    run = runs.find(run_id)
    return {"runId": run_id, "status": "timeout", **({"startedAt": int(run.started * 1000)} if run else {})}


def _ended(run_id: str, started: float, ended: float, error: str | None) -> dict[str, Any]:
    told: dict[str, Any] = {
        "runId": run_id,
        "status": "ok" if error is None else "error",
        "startedAt": int(started * 1000),
        "endedAt": int(ended * 1000),
    }
    return told if error is None else {**told, "error": error}


METHODS = (
    Method("agent", WRITE, _AGENT, _agent),
    Method("agent.wait", WRITE, _WAIT, _wait, waits=True),
)
