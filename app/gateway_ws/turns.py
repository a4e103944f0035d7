"""Turns that methods begin. Their runs outlive the connection that asked for them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any, NamedTuple

from marshmallow import fields

from app.agents.run import Run
from app.agents.turn import Turn
from app.auth import ADMIN
from app.config.settings import Agent, ModelChoice
from app.errors import InvalidRequest
from app.gateway_ws.attachments import Attachments
from app.gateway_ws.method import Call
from app.gateway_ws.params import Items, Number, Text, whole
from app.providers.stream import Message
from app.sessions import keys

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


class Started(NamedTuple):
    """run: None when one of this id was begun before; status: ``started``, ``in_flight`` or ``ok``."""

    run: Run | None
    status: str


def begin(
    call: Call,
    agent: Agent,
    key: str,
    run_id: str,
    message: str,
    *,
    given: Sequence[Mapping[str, Any]] = (),
    thinking: str | None = None,
    seconds: float | None = None,
    instructions: str = "",
    model: ModelChoice | None = None,
) -> Started:
    """Begin a run of ``run_id``, once, however often it is asked for.

    given: attachments. seconds: its deadline, where that is earlier than the agent's. Raises InvalidRequest where the
    id names a run of another session, Overloaded.
    """
    try:
        keys.check_not_reserved(key)
    except InvalidRequest as error:
        raise InvalidRequest(f"sessionKey: {error.message}", param="sessionKey") from None
    if not message.strip() and not given:
        raise InvalidRequest("message: must not be empty", param="message")
    sampling = _sampling(call, agent, thinking)
    files = Attachments(given, call.plane.services.live.current.gateway.chat_completions.images)
    if (status := known(call, run_id, key)) is not None:
        return Started(None, status)
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
        identity=call.connection.caller.identity,
        channel=call.connection.client["id"],
    )
    run = Run(call.plane.services.runs, turn, id=run_id)
    run.spawn(heard=False)
    return Started(run, "started")


def known(call: Call, run_id: str, key: str) -> str | None:
    """``in_flight`` or ``ok`` where a run of this id was begun before. Raises InvalidRequest for another session's."""
    services = call.plane.services
    stored = None
    if services.runs.find(run_id) is None and services.runs.outcomes.get(run_id) is None:
        stored = services.sessions.turn_of_run(run_id)
    # Asked again: while the database was, another request may have begun it.
    active, outcome = services.runs.find(run_id), services.runs.outcomes.get(run_id)
    if active is not None:
        owner, status = active.turn.session_key, "in_flight"
    elif outcome is not None:
        owner, status = outcome.session_key, "ok"
    elif stored is not None:
        owner, status = stored.key, "ok"
    else:
        return None
    if owner != key:
        raise InvalidRequest("idempotencyKey: names a run of another session already", param="idempotencyKey")
    return status


def _sampling(call: Call, agent: Agent, thinking: str | None) -> dict[str, Any]:
    if thinking is None:
        return {}
    level = thinking.lower()
    if level not in _LEVELS:
        raise InvalidRequest(f"thinking: must be one of {', '.join(_LEVELS)}", param="thinking")
    effort = _EFFORTS.get(level)
    if effort is None or not call.plane.services.catalogue.model(agent.model.primary).reasoning:
        return {}
    return {"reasoning_effort": effort}
