"""``agents.list``: which agents there are."""

from __future__ import annotations

from typing import Any

from app.auth import READ
from app.config.settings import Agent
from app.gateway_ws.method import Call, Method
from app.gateway_ws.params import params
from app.sessions.keys import MAIN


def _list(call: Call) -> dict[str, Any]:
    settings = call.plane.services.live.current
    return {
        "defaultId": settings.default_agent,
        "mainKey": MAIN,
        "scope": "per-sender",
        "agents": [_shown(agent) for agent in settings.agents.values()],
    }


def _shown(agent: Agent) -> dict[str, Any]:
    """``AgentSummary`` of the published schema."""
    return {
        "id": agent.id,
        "name": agent.name,
        "workspace": str(agent.workspace),
        "model": {"primary": agent.model.primary, "fallbacks": list(agent.model.fallbacks)},
    }


METHODS = (Method("agents.list", READ, params(), _list),)
