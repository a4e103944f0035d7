"""Sessions as the protocol lists them: ``SessionRow`` of the published schema. Times are milliseconds."""

from __future__ import annotations

from collections.abc import Collection
from typing import Any

from app.config.settings import Agent, ModelChoice, Settings, sqlite_path
from app.gateway_ws.method import Call
from app.gateway_ws.times import ms
from app.services import Services
from app.sessions import keys
from app.sessions.listing import SessionInfo
from app.sessions.tables import DONE, FAILED, INTERRUPTED

_STATUS = {DONE: "done", FAILED: "failed", INTERRUPTED: "killed"}


def active_keys(services: Services) -> frozenset[str]:
    """The sessions that are at work."""
    return frozenset(run.turn.session_key for run in services.runs)


def row(call: Call, info: SessionInfo, active: Collection[str] | None = None) -> dict[str, Any]:
    """active: the sessions that are at work, where they are known already."""
    services = call.plane.services
    agent = services.live.current.agents.get(info.agent_id)
    last = info.last
    # The agent of a session may not be configured any more.
    reference = info.model or (last and last.model) or (agent.model.primary if agent else "")
    found: dict[str, Any] = {
        "key": info.key,
        "sessionId": info.session_id,
        "kind": "direct",
        "agentId": info.agent_id,
        "isMain": info.key == keys.main(info.agent_id, call.reach.identity),
        "createdAt": ms(info.created_at),
        "updatedAt": ms(info.updated_at),
        "inputTokens": info.prompt_tokens,
        "outputTokens": info.completion_tokens,
        "totalTokens": info.prompt_tokens + info.completion_tokens,
        # What the session used since it began, which is not what its context holds now.
        "totalTokensFresh": False,
        **_model(services, agent, reference),
        "label": info.label,
        "displayName": info.label or info.title,
        "derivedTitle": info.title,
        "lastMessagePreview": info.preview,
        "modelOverrideSource": "user" if info.model else None,
    }
    if last is not None:
        found |= {
            "status": _STATUS[last.status],
            "lastRunId": last.run_id,
            "lastRunError": last.error,
            "channel": last.channel,
            "lastActivityAt": ms(last.ended_at),
            "lastInteractionAt": ms(last.started_at),
        }
    if info.key in (active_keys(services) if active is None else active):
        found["status"] = "running"
    return {name: value for name, value in found.items() if value is not None}


def sessions_path(settings: Settings) -> str:
    """Where the sessions are: a file, or the kind of the database."""
    path = sqlite_path(settings.storage_url)
    return str(path) if path else settings.storage_url.partition(":")[0]


def defaults(services: Services, agent: Agent | None = None) -> dict[str, Any]:
    """What a session has that chose nothing itself: ``{modelProvider, model, contextTokens}``."""
    settings = services.live.current
    agent = agent or settings.agents[settings.default_agent]
    return {"contextTokens": None, **_model(services, agent, agent.model.primary)}


def _model(services: Services, agent: Agent | None, reference: str) -> dict[str, Any]:
    if not reference:
        return {}
    provider, _, model = reference.partition("/")
    catalogue = services.catalogue
    window = catalogue.window(agent, ModelChoice(reference)) if agent else catalogue.model(reference).context_window
    return {"modelProvider": provider, "model": model, **({"contextTokens": window} if window else {})}
