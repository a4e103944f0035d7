"""``health``, ``status``, ``system-presence`` and ``usage.status``: how the gateway is, and what it used."""

from __future__ import annotations

import os
import time
from datetime import UTC, datetime, timedelta
from typing import Any

from app.auth import READ
from app.gateway_ws.health import listed
from app.gateway_ws.method import Call, Method
from app.gateway_ws.params import Ignored, params
from app.gateway_ws.session_rows import sessions_path
from app.gateway_ws.times import ms
from app.gateway_ws.usage import Bill
from app.ops.memory import resident
from app.providers.catalogue import LOCAL
from app.version import VERSION

# Days that usage.status sums up, today among them.
DAYS = 30


def _health(call: Call) -> dict[str, Any]:
    health = call.plane.health
    return health.within(health.payload(), call.reach)


def _status(call: Call) -> dict[str, Any]:
    plane, services = call.plane, call.plane.services
    settings = services.live.current
    agent = settings.agents[settings.default_agent]
    path = sessions_path(settings)
    counted = listed(path, [] if call.reach.is_limited else plane.health.sessions().values())
    return {
        "runtimeVersion": VERSION,
        "pid": os.getpid(),
        "startedAt": ms(services.started),
        "uptimeMs": ms(time.time() - services.started),
        "failing": plane.health.failing(),
        "heartbeat": {"defaultAgentId": agent.id, "agents": []},
        "channelSummary": [],
        "queuedSystemEvents": [],
        "sessions": {
            "paths": [path],
            "count": counted["count"],
            "defaults": {
                "model": agent.model.primary,
                "contextTokens": services.catalogue.window(agent, agent.model),
            },
            "recent": counted["recent"],
        },
        "runs": {"active": len(services.runs), "max": settings.gateway.max_runs},
        "connections": len(plane.connections),
        **services.degraded(),
        "memory": {"rssBytes": resident()},
    }


def _presence(call: Call) -> list[dict[str, Any]]:
    return call.plane.presence.entries(call.reach)


def _usage(call: Call) -> dict[str, Any]:
    """What the runs within the caller's reach used, by days in UTC."""
    services = call.plane.services
    bill = Bill(services.catalogue)
    now = datetime.now(UTC)
    first = (now - timedelta(days=DAYS - 1)).replace(hour=0, minute=0, second=0, microsecond=0)
    used = services.sessions.usage(first.timestamp(), now.timestamp() + 1, owner=call.reach.owner).of_days
    return {
        "updatedAt": ms(now.timestamp()),
        "providers": [_provider(id) for id in dict.fromkeys((*services.live.current.providers, LOCAL))],
        "totals": {
            "today": bill.of(used.get(now.date(), {}).items()),
            f"last{DAYS}Days": bill.of(each for day in used.values() for each in day.items()),
        },
    }


def _provider(id: str) -> dict[str, Any]:
    # Providers don't tell the holder of a key how much of a quota is left.
    return {"provider": id, "displayName": id, "windows": []}


METHODS = (
    Method("health", READ, params(probe=Ignored(), includeSensitive=Ignored()), _health),
    Method("status", READ, params(probe=Ignored(), includeSensitive=Ignored()), _status),
    Method("system-presence", READ, params(), _presence),
    # May have half a million turns to sum up.
    Method("usage.status", READ, params(), _usage, waits=True),
)
