"""``chat.history`` and ``chat.inject``: what was said in a session."""

from __future__ import annotations

from typing import Any

from app.agents.run import Run
from app.auth import ADMIN, READ
from app.errors import InvalidRequest, NotFound
from app.gateway_ws import messages, session_rows
from app.gateway_ws.method import Call, Method
from app.gateway_ws.params import Ignored, Text, not_here, params, whole
from app.gateway_ws.session_keys import resolve
from app.gateway_ws.times import ms

LIMIT, MAX_LIMIT = 200, 1000
MAX_CHARS = 500_000
# Characters of a text that is injected.
MAX_INJECTED = 1_000_000

_HISTORY = params(
    sessionKey=Text(required=True),
    agentId=Text(),
    sessionId=Text(),
    limit=whole(1, MAX_LIMIT),
    offset=whole(0, 2**53),
    maxChars=whole(1, MAX_CHARS),
    cursor=not_here(""),
    messageId=not_here(),
    # Nothing waits outside of its run here, so there is nothing to tell of it.
    pendingBefore=Ignored(),
    inputRunIds=Ignored(),
)
_INJECT = params(
    sessionKey=Text(required=True),
    agentId=Text(),
    message=Text(MAX_INJECTED, required=True, strip=False),
    label=Text(100, minimum=0),
)


def _history(call: Call) -> dict[str, Any]:
    given, services = call.params, call.plane.services
    agent, key = resolve(services.live.current, call.reach, given["sessionKey"], given.get("agentId"))
    offset, max_chars = given.get("offset", 0), given.get("maxChars", messages.MAX_CHARS)
    # Asked first: a run that ends meanwhile is in the transcript.
    active = services.runs.of_session(key)
    found = services.sessions.transcript(key, given.get("limit", LIMIT), offset)
    stored = {entry.run_id for entry in found.entries} if found is not None else set()
    at_work = [run for run in active if run.turn.messages and run.ended is None and run.id not in stored]
    answer: dict[str, Any] = {
        "sessionKey": key,
        "messages": [],
        "offset": offset,
        "hasMore": False,
        "totalMessages": 0,
        "defaults": session_rows.defaults(services, agent),
    }
    if (wanted := given.get("sessionId")) is not None and (found is None or found.session_id != wanted):
        raise NotFound(f"sessionId: {key} has another session by now")
    if found is not None:
        page = messages.page(found.entries, max_chars)
        cut = page.stored < len(found.entries)
        more = found.more or cut
        answer |= {
            "sessionId": found.session_id,
            "messages": page.messages,
            "hasMore": more,
            **({"nextOffset": offset + page.stored} if more else {}),
            **({"truncated": True} if cut else {}),
            "totalMessages": found.total,
        }
        if (info := services.sessions.info(key, texts=True)) is not None:
            answer["sessionInfo"] = session_rows.row(call, info)
    if at_work:
        answer["inFlightRun"] = _in_flight(at_work[0], max_chars)
    return answer


def _in_flight(run: Run, max_chars: int) -> dict[str, Any]:
    """A turn that is being answered and is not in the transcript yet. message: what it answers."""
    return {
        "runId": run.id,
        "text": run.answer.shown[-MAX_CHARS:],
        "startedAt": ms(run.started),
        "message": {
            "role": "user",
            "content": messages.parts(run.turn.messages[-1], max_chars),
            "timestamp": ms(run.started),
        },
    }


def _inject(call: Call) -> dict[str, Any]:
    given, services = call.params, call.plane.services
    agent, key = resolve(services.live.current, call.reach, given["sessionKey"], given.get("agentId"), writable=True)
    text = f"[{given['label']}]\n\n{given['message']}" if given.get("label") else given["message"]
    if not text.strip():
        raise InvalidRequest("message: must not be empty", param="message")
    entry = services.sessions.inject(key, agent.id, text, services.runs.fresh_since())
    (message,) = messages.shown([entry], len(text))
    event = {"runId": entry.run_id, "sessionKey": key, "agentId": agent.id, "seq": 0, "state": "final"}
    call.plane.tell_session(key, "chat", {**event, "message": message})
    return {"ok": True, "messageId": entry.id, "messageSeq": entry.seq}


METHODS = (
    Method("chat.history", READ, _HISTORY, _history),
    Method("chat.inject", ADMIN, _INJECT, _inject),
)
