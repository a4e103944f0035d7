"""Tools for the sessions of the agent itself. An agent never sees another agent's."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import orjson

from app.agents.tools.tool import Tool, ToolFailed
from app.errors import GatewayError, RunCancelled
from app.providers.stream import text_of
from app.sessions import keys
from app.sessions.store import SessionInfo

if TYPE_CHECKING:
    from app.agents.run import Run

MAX_LISTED = 100
MAX_MESSAGES = 100
# Characters of one message in sessions_history, and of one that is sent.
MAX_SHOWN = 2000
MAX_SENT = 100_000
# Agents that may wait for one another: each message may lead to the next.
MAX_DEPTH = 3
# Seconds that sessions_send waits for the answer.
WAIT, MAX_WAIT = 60, 600

_KEY = {"type": "string", "maxLength": keys.MAX_LENGTH, "description": "as sessions_list shows it"}


def _limit(most: int) -> dict[str, Any]:
    return {"type": "integer", "minimum": 1, "maximum": most}


def _object(required: tuple[str, ...] = (), **properties: Any) -> dict[str, Any]:
    return {
        "type": "object",
        "properties": properties,
        "required": list(required),
        "additionalProperties": False,
    }


def own_session_tools() -> tuple[Tool, ...]:
    """Of the session in which the agent answers."""
    return (_STATUS,)


def session_tools() -> tuple[Tool, ...]:
    """Of all sessions of the agent: for runs whose caller may use them all."""
    return _OF_ALL


def _status(run: Run, _arguments: dict[str, Any]) -> str:
    turn = run.turn
    info = run.runs.sessions.info(turn.session_key)
    return _json(
        {
            "sessionKey": turn.session_key,
            "agentId": turn.agent.id,
            "model": run.model,
            "contextWindow": run.window,
            "time": _time(run.started),
            **(_shown(info) if info else {"turns": 0}),
        }
    )


def _list(run: Run, arguments: dict[str, Any]) -> str:
    found = run.runs.sessions.latest(run.turn.agent.id, arguments.get("limit", 20))
    return _json([_shown(info) for info in found])


def _history(run: Run, arguments: dict[str, Any]) -> str:
    key = _own(run, arguments["sessionKey"])
    turns = run.runs.sessions.history(key, whole=True).turns
    messages = [message for turn in turns for message in turn.messages][-arguments.get("limit", 20) :]
    if not messages:
        raise ToolFailed(f"there is nothing in the session {key!r}; sessions_list shows those that there are")
    return _json([{"role": message["role"], "text": text_of(message)[:MAX_SHOWN]} for message in messages])


def _send(run: Run, arguments: dict[str, Any]) -> str:
    key = _own(run, arguments["sessionKey"])
    waiting = (*run.turn.behind, run.turn.session_key)
    if key in waiting:
        raise ToolFailed("that session waits for this answer itself")
    if len(waiting) > MAX_DEPTH:
        raise ToolFailed(f"{MAX_DEPTH} sessions wait for one another already")
    try:
        keys.check_not_reserved(key)
        answering = run.ask(key, arguments["message"])
    except GatewayError as error:
        raise ToolFailed(error.message) from None
    seconds = arguments.get("timeoutSeconds", WAIT)
    try:
        ended = answering.wait(seconds)
    finally:
        answering.cancel(RunCancelled("the session that asked does not wait any longer"))
    if ended is None:
        raise ToolFailed(f"no answer in {seconds} s; the question was taken back")
    if ended.error is not None:
        raise ToolFailed(ended.error.message)
    return answering.answer.shown


def _agents(run: Run, _arguments: dict[str, Any]) -> str:
    agents = run.runs.settings.agents.values()
    return _json([{"id": agent.id, "name": agent.name, "you": agent.id == run.turn.agent.id} for agent in agents])


def _own(run: Run, key: str) -> str:
    """The full key. Raises ToolFailed for another agent's."""
    agent = keys.named_agent(key)
    if agent is not None and agent != run.turn.agent.id:
        raise ToolFailed(f"the session {key!r} belongs to another agent")
    try:
        return keys.of_header(run.turn.agent.id, key)
    except GatewayError as error:
        raise ToolFailed(error.message) from None


def _shown(info: SessionInfo) -> dict[str, Any]:
    return {
        "sessionKey": info.key,
        "turns": info.turns,
        "created": _time(info.created_at),
        "lastUsed": _time(info.updated_at),
        "tokens": {"input": info.prompt_tokens, "output": info.completion_tokens},
    }


def _time(seconds: float) -> str:
    return datetime.fromtimestamp(seconds, UTC).isoformat(timespec="seconds")


def _json(value: Any) -> str:
    return orjson.dumps(value).decode()


_STATUS = Tool(
    "session_status",
    "This session: its key, model, number of turns, tokens used, and the time.",
    _object(),
    _status,
    concurrent=True,
    changes=False,
)
_OF_ALL = (
    Tool(
        "sessions_list",
        "Your sessions, the one used last first.",
        _object(limit=_limit(MAX_LISTED)),
        _list,
        concurrent=True,
        changes=False,
    ),
    Tool(
        "sessions_history",
        "The latest messages of one of your sessions.",
        _object(("sessionKey",), sessionKey=_KEY, limit=_limit(MAX_MESSAGES)),
        _history,
        concurrent=True,
        changes=False,
    ),
    Tool(
        "sessions_send",
        "Say something in another of your sessions, and get the answer that is given there.",
        _object(
            ("sessionKey", "message"),
            sessionKey=_KEY,
            message={"type": "string", "minLength": 1, "maxLength": MAX_SENT},
            timeoutSeconds=_limit(MAX_WAIT),
        ),
        _send,
        concurrent=True,
    ),
    Tool("agents_list", "The agents of this gateway.", _object(), _agents, concurrent=True, changes=False),
)
