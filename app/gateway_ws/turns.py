"""Turns that methods begin. Their runs outlive the connection that asked for them."""

from __future__ import annotations

from dataclasses import replace
from typing import Any, NamedTuple

from marshmallow import fields

from app.agents.run import Run
from app.agents.runs import shutting_down
from app.agents.turn import Turn
from app.auth import ADMIN
from app.config.settings import Agent, ModelChoice
from app.errors import GatewayError, InvalidRequest, RunCancelled
from app.gateway_ws.attachments import Attachments
from app.gateway_ws.method import Call
from app.gateway_ws.params import Items, Number, Text, whole
from app.gateway_ws.session_keys import resolve
from app.providers.stream import Message
from app.sessions import keys
from app.sessions.tables import DONE
from app.sessions.transcript import TurnOutcome

# Characters of a message.
MAX_MESSAGE = 10_000_000
# Characters of an idempotency key, which names the run.
MAX_RUN_ID = 256
# Milliseconds that a caller may ask for; the agent's own limit is never passed.
MAX_TIMEOUT_MS = 24 * 3600 * 1000

# Levels of thinking that models know as reasoning_effort; the others leave it to the model.
_EFFORTS = {"minimal": "minimal", "low": "low", "medium": "medium", "high": "high", "xhigh": "high", "max": "high"}
_LEVELS = (*_EFFORTS, "off", "adaptive", "default")


def message_text() -> Text:
    return Text(MAX_MESSAGE, minimum=0, required=True, strip=False)


def run_id(*, required: bool = True) -> Text:
    return Text(MAX_RUN_ID, required=required)


def attachments() -> Items:
    """What is in each of them is checked where it is read."""
    return Items(fields.Dict(), 16)


def timeout_ms() -> Number:
    return whole(0, MAX_TIMEOUT_MS)


class Begun(NamedTuple):
    """A run that somebody asked for. run: while it is active; new: this request began it; ended: what came of it."""

    run: Run | None
    new: bool
    ended: TurnOutcome | None = None

    @property
    def status(self) -> str:
        return "started" if self.new else "in_flight" if self.run else "ok"


class RunFailed(GatewayError):
    """The request was right, and its run went wrong. The same id never begins another."""

    status = 502
    type = "run_failed"
    retryable = False

    def __init__(self, run_id: str, message: str, error: GatewayError | None = None) -> None:
        details: dict[str, Any] = {"runId": run_id, "status": "error"}
        if error is not None:
            details |= {"type": error.type, "code": error.code}
            if isinstance(error, RunCancelled):
                details["status"] = "aborted"
        super().__init__(message, details=details)


def session_of(call: Call, key: str | None) -> tuple[Agent, str]:
    """The session that a request means: by ``key``, by its ``sessionId``, else the main one.

    Raises InvalidRequest, Forbidden.
    """
    given, services = call.params, call.plane.services
    wanted = given.get("sessionId") or None
    if key is None and wanted is not None:
        found = services.sessions.find(session_id=wanted)
        if not found:
            raise InvalidRequest("sessionId: no session has this id", param="sessionId")
        key = found[0].key
    settings = services.live.current
    agent, key = resolve(settings, call.reach, key or keys.MAIN, given.get("agentId"), writable=True)
    if wanted is not None:
        info = services.sessions.info(key)
        if info is None or info.session_id != wanted:
            raise InvalidRequest("sessionId: the session is another one by now", param="sessionId")
    return agent, key


def begin(
    call: Call,
    agent: Agent,
    key: str,
    run_id: str,
    *,
    seconds: float | None = None,
    instructions: str = "",
    model: ModelChoice | None = None,
) -> Begun:
    """Begin the run that a request asks for with ``message``, ``attachments`` and ``thinking``.

    Once, however often it is asked for. seconds: its deadline, where that is earlier than the agent's. Raises
    InvalidRequest where the id names a run of another session, RunFailed where that one failed, Overloaded.
    """
    given, services = call.params, call.plane.services
    if call.plane.ending:
        raise shutting_down()
    message, attached = given["message"], given.get("attachments", ())
    if not message.strip() and not attached:
        raise InvalidRequest("message: must not be empty", param="message")
    files = Attachments(attached, services.live.current.gateway.chat_completions.images)
    sampling = _sampling(call, agent, key, model)
    if (earlier := _begun_before(call, run_id, key)) is not None:
        return earlier
    if seconds:
        agent = replace(agent, timeout_seconds=min(seconds, agent.timeout_seconds))
    said: Message = {"role": "user", "content": files.content(message)}
    turn = Turn(
        agent=agent,
        session_key=key,
        stateless=False,
        messages=[said],
        prepare=files.preparation(said),
        instructions=instructions,
        sampling=sampling,
        model=model,
        admin=ADMIN in call.connection.scopes,
        identity=call.connection.caller.person,
        channel=call.connection.client["id"],
    )
    run = Run(services.runs, turn, id=run_id)
    run.spawn(heard=False)
    return Begun(run, new=True)


def _begun_before(call: Call, run_id: str, key: str) -> Begun | None:
    """Raises InvalidRequest where the run is another session's, RunFailed."""
    runs, sessions = call.plane.services.runs, call.plane.services.sessions
    stored = sessions.turn_of_run(run_id) if runs.find(run_id) is None else None
    # Asked now: while the database was, another request may have begun it.
    active, outcome = runs.find(run_id), runs.outcomes.get(run_id)
    if active is not None:
        _check_owner(active.turn.session_key, key)
        return Begun(active, new=False)
    if outcome is not None:
        _check_owner(outcome.session_key, key)
        if outcome.error is not None:
            raise RunFailed(run_id, outcome.error.message, outcome.error)
    elif stored is not None:
        _check_owner(stored.key, key)
        if stored.end.status != DONE:
            raise RunFailed(run_id, stored.end.error or "the run was interrupted")
    else:
        return None
    return Begun(None, new=False, ended=stored)


def _check_owner(owner: str, key: str) -> None:
    if owner != key:
        raise InvalidRequest("idempotencyKey: names a run of another session already", param="idempotencyKey")


def _sampling(call: Call, agent: Agent, key: str, model: ModelChoice | None) -> dict[str, Any]:
    """How hard a model that reasons is asked to. Raises InvalidRequest."""
    thinking = call.params.get("thinking")
    if not thinking:
        return {}
    level = thinking.lower()
    if level not in _LEVELS:
        raise InvalidRequest(f"thinking: must be one of {', '.join(_LEVELS)}", param="thinking")
    effort = _EFFORTS.get(level)
    if effort is None:
        return {}
    services = call.plane.services
    session = services.sessions.info(key) if model is None else None
    reference = model.primary if model else (session and session.model) or agent.model.primary
    return {"reasoning_effort": effort} if services.catalogue.model(reference).reasoning else {}
