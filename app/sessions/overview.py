"""How many sessions each agent has, and which it used last."""

from __future__ import annotations

from typing import NamedTuple

from sqlalchemy import Connection, bindparam, func, select

from app.sessions.tables import sessions


class Recent(NamedTuple):
    """A session that was used lately. updated_at: Unix seconds."""

    key: str
    updated_at: float


class AgentSessions(NamedTuple):
    """total: how many there are. recent: the one used last first."""

    total: int
    recent: list[Recent]


_latest_first = (sessions.c.updated_at.desc(), sessions.c.id.desc())
_RANKED = select(
    sessions.c.agent_id,
    sessions.c.key,
    sessions.c.updated_at,
    func.count().over(partition_by=sessions.c.agent_id).label("sessions"),
    func.row_number().over(partition_by=sessions.c.agent_id, order_by=_latest_first).label("place"),
).subquery()
_OVERVIEW = select(_RANKED).where(_RANKED.c.place <= bindparam("recent")).order_by(_RANKED.c.agent_id, _RANKED.c.place)


def overview(connection: Connection, recent: int) -> dict[str, AgentSessions]:
    """See ``SessionStore.overview``."""
    found: dict[str, AgentSessions] = {}
    for row in connection.execute(_OVERVIEW, {"recent": recent}):
        of_agent = found.setdefault(row.agent_id, AgentSessions(row.sessions, []))
        of_agent.recent.append(Recent(row.key, row.updated_at))
    return found
