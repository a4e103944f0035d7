"""The state of the gateway, as the method, the event and the snapshot of ``hello-ok`` tell it.

Source: ``Snapshot.health`` of ``protocol.schema.json``, where ``ok`` may be true or absent.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Iterable, Mapping
from heapq import nlargest
from math import inf
from typing import Any

from gevent.event import Event

from app.config.settings import Agent, Settings
from app.errors import StorageUnavailable
from app.gateway_ws.session_rows import sessions_path
from app.gateway_ws.times import ms
from app.services import Services
from app.sessions.overview import AgentSessions, Recent
from app.sessions.ownership import Reach

log = logging.getLogger("gateway.ws")

# Seconds for which sessions are not counted again.
FRESH = 2.0
# Sessions that are named, of each agent and of all.
RECENT = 5

# Nothing runs by the clock here.
_HEARTBEAT = {"enabled": False, "every": "0m", "everyMs": None, "prompt": "", "target": "none", "ackMaxChars": 0}


class Health:
    """version: counts the changes of what matters: whether all is well, and which agents there are."""

    def __init__(self, services: Services) -> None:
        self.version = 1
        self._services = services
        self._counted: Mapping[str, AgentSessions] | None = None
        self._counted_at = -inf
        self._counting: Event | None = None
        self._uncountable = False
        self._seen = self._essence()

    def look(self) -> None:
        """Notice what changed. Never waits."""
        essence = self._essence()
        if essence != self._seen:
            self._seen = essence
            self.version += 1

    def failing(self) -> list[str]:
        """The names of the parts that keep the gateway from serving well, as far as is known now."""
        return [*self._services.failing(), *(["sessions"] if self._uncountable else [])]

    def payload(self) -> dict[str, Any]:
        """``ok`` is there only while nothing fails. Waits for the database where nobody counted the sessions lately."""
        begin = time.monotonic()
        counted = self.sessions()
        self.look()
        settings = self._services.live.current
        path = sessions_path(settings)
        return {
            **({} if self.failing() else {"ok": True}),
            "ts": ms(time.time()),
            "durationMs": ms(time.monotonic() - begin),
            "defaultAgentId": settings.default_agent,
            "agents": [
                _agent(agent, settings, listed(path, [counted[agent.id]] if agent.id in counted else []))
                for agent in settings.agents.values()
            ],
            "sessions": listed(path, counted.values()),
        }

    @staticmethod
    def within(payload: dict[str, Any], reach: Reach) -> dict[str, Any]:
        """The payload for one of those who may read: whose reach is limited is told of no sessions here."""
        if not reach.is_limited:
            return payload
        none = listed(payload["sessions"]["path"], [])
        return {**payload, "sessions": none, "agents": [{**agent, "sessions": none} for agent in payload["agents"]]}

    def sessions(self) -> Mapping[str, AgentSessions]:
        """By agent id, also of agents that are not configured any more. At most ``FRESH`` seconds old.

        One asks the database; whoever comes meanwhile gets what was known before.
        """
        if self._counting is not None:
            if self._counted is None:
                self._counting.wait()
        elif time.monotonic() - self._counted_at >= FRESH:
            self._count()
        return self._counted or {}

    def _count(self) -> None:
        self._counting = Event()
        try:
            self._counted = self._services.sessions.overview(RECENT)
            self._uncountable = False
        except StorageUnavailable:
            self._uncountable = True
        except Exception:
            # This is where those who ask about the gateway are told of it.
            if not self._uncountable:
                log.exception("the sessions could not be counted")
            self._uncountable = True
        finally:
            self._counted_at = time.monotonic()
            counting, self._counting = self._counting, None
            counting.set()

    def _essence(self) -> tuple[Any, ...]:
        settings = self._services.live.current
        agents = tuple((agent.id, agent.name) for agent in settings.agents.values())
        return not self.failing(), settings.default_agent, agents


def listed(path: str, counted: Iterable[AgentSessions]) -> dict[str, Any]:
    """``{path, count, recent}`` as the schema has it."""
    counted = list(counted)
    now = ms(time.time())
    recent = nlargest(RECENT, (each for of_agent in counted for each in of_agent.recent), key=_updated_at)
    return {
        "path": path,
        "count": sum(of_agent.total for of_agent in counted),
        "recent": [
            {"key": each.key, "updatedAt": (at := ms(each.updated_at)), "age": max(now - at, 0)} for each in recent
        ],
    }


def _updated_at(recent: Recent) -> float:
    return recent.updated_at


def _agent(agent: Agent, settings: Settings, sessions: dict[str, Any]) -> dict[str, Any]:
    return {
        "agentId": agent.id,
        "name": agent.name,
        "isDefault": agent.id == settings.default_agent,
        "heartbeat": _HEARTBEAT,
        "sessions": sessions,
    }
