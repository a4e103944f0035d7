"""Which session a parameter means."""

from __future__ import annotations

from app.config.settings import Agent, Settings
from app.errors import InvalidRequest
from app.sessions import keys
from app.sessions.ownership import Reach


def resolve(
    settings: Settings,
    reach: Reach,
    key: str,
    agent_id: str | None = None,
    *,
    param: str = "sessionKey",
    writable: bool = False,
) -> tuple[Agent, str]:
    """(the agent, the full key) of ``main``, a bare key, or ``agent:<id>:…``. Raises InvalidRequest, Forbidden.

    A bare key belongs to the agent that ``agent_id`` names, else to the default agent; where callers are told apart it
    means a session of the caller's own. reach: the full key must be within. writable: refuse the keys of the
    gateway's own sessions, which nobody else adds to.
    """
    named = keys.named_agent(key)
    if agent_id is not None:
        agent = agent_of(settings, agent_id)
        if named is not None and named != agent.id:
            raise InvalidRequest(f"{param}: belongs to agent {named!r}, not to {agent.id!r}", param=param)
    else:
        agent = agent_of(settings, named or settings.default_agent)
    if writable:
        try:
            keys.check_not_reserved(key)
        except InvalidRequest as error:
            raise InvalidRequest(f"{param}: {error.message}", param=param) from None
    if named is None and reach.identity is not None:
        return agent, keys.of_user(agent.id, key, reach.identity, param)
    key = keys.of_header(agent.id, key, param)
    reach.check(key)
    return agent, key


def agent_of(settings: Settings, agent_id: str) -> Agent:
    """Raises InvalidRequest with the protocol's details for an agent that doesn't exist."""
    found = settings.agents.get(agent_id.strip().lower())
    if found is None:
        raise InvalidRequest(
            f"agentId: unknown agent {agent_id[:100]!r}; agents are {', '.join(list(settings.agents)[:50])}",
            param="agentId",
            details={"code": "UNKNOWN_AGENT_ID", "agentId": agent_id[:100]},
        )
    return found
