"""``sessions.usage``: tokens and what they cost, by session, day, model, provider and agent."""

from __future__ import annotations

import time
from collections.abc import Mapping
from datetime import UTC, date, datetime, timedelta
from heapq import nlargest
from typing import Any

from marshmallow import ValidationError, fields

from app.auth import READ
from app.concurrency.slices import taking_turns
from app.errors import InvalidRequest
from app.gateway_ws.method import Call, Method
from app.gateway_ws.params import Choice, Ignored, Text, not_here, params, whole
from app.gateway_ws.session_keys import agent_of, resolve
from app.gateway_ws.times import ms
from app.gateway_ws.usage import Bill
from app.sessions.usage import DAY, Sum, UsageSums, UsedSession

LISTED, MAX_LISTED = 50, 1000
_EPOCH = date(1970, 1, 1)
_RANGES = {"7d": 7, "30d": 30, "90d": 90, "1y": 365, "all": None}


class _Day(fields.Field[date]):
    """``2026-03-01``."""

    def __init__(self) -> None:
        super().__init__(allow_none=True)

    def _deserialize(self, value: Any, attr: str | None, data: Any, **kwargs: Any) -> date:
        try:
            day = datetime.strptime(value, "%Y-%m-%d").replace(tzinfo=UTC).date()
        except (TypeError, ValueError):
            raise ValidationError("must be a day, such as 2026-03-01") from None
        if day < _EPOCH:
            raise ValidationError("must not be before 1970")
        return day


_USAGE = params(
    key=Text(),
    agentId=Text(),
    startDate=_Day(),
    endDate=_Day(),
    range=Choice(*_RANGES),
    limit=whole(1, 2**53),
    mode=not_here("utc"),
    utcOffset=not_here("UTC+0", "UTC-0", "UTC+00:00"),
    timeZone=not_here("UTC"),
    agentScope=not_here("all"),
    groupBy=not_here("instance", "family"),
    includeContextWeight=not_here(False),
    includeHistorical=Ignored(),
)


def _usage(call: Call) -> dict[str, Any]:
    """Days are UTC, both included; the last 30 unless something else is asked."""
    given, services = call.params, call.plane.services
    settings = services.live.current
    key = agent_id = None
    if "key" in given:
        _, key = resolve(settings, call.reach, given["key"], given.get("agentId"), param="key")
    elif "agentId" in given:
        agent_id = agent_of(settings, given["agentId"]).id
    first, last = _days(given)
    since, until = _midnight(first), _midnight(last) + DAY
    used = services.sessions.usage(since, until, key=key, agent_id=agent_id, owner=call.reach.owner)
    limit = min(given.get("limit", LISTED), MAX_LISTED)
    listed = nlargest(limit, taking_turns(used.of_sessions), key=lambda session: session.updated_at)
    bill = Bill(services.catalogue)
    return {
        "updatedAt": ms(time.time()),
        "startDate": first.isoformat(),
        "endDate": last.isoformat(),
        "sessions": [_session(bill, session, used.of_sessions[session]) for session in taking_turns(listed)],
        "totals": bill.of(_items(used)),
        "aggregates": {
            "sessionCount": len(used.of_sessions),
            "byModel": bill.grouped(_items(used), _model_of),
            "byProvider": bill.grouped(_items(used), lambda model: {"provider": model.partition("/")[0] or "none"}),
            "byAgent": _by_agent(bill, used),
            "daily": [
                {"date": day.isoformat(), **bill.day(by_model)} for day, by_model in sorted(used.of_days.items())
            ],
        },
    }


def _days(given: Mapping[str, Any]) -> tuple[date, date]:
    """The first day and the last. Raises InvalidRequest."""
    last = given.get("endDate") or datetime.now(UTC).date()
    days = _RANGES[given.get("range", "30d")]
    first = given.get("startDate") or (max(last - timedelta(days=days - 1), _EPOCH) if days else _EPOCH)
    if first > last:
        raise InvalidRequest("startDate: must not be after endDate", param="startDate")
    return first, last


def _midnight(day: date) -> float:
    return datetime(day.year, day.month, day.day, tzinfo=UTC).timestamp()


def _items(used: UsageSums) -> list[tuple[str, Sum]]:
    """(model, what it was used for)"""
    return [item for by_model in used.of_days.values() for item in by_model.items()]


def _model_of(reference: str) -> dict[str, str]:
    provider, _, model = reference.partition("/")
    return {"provider": provider, "model": model} if reference else {"provider": "none", "model": "none"}


def _by_agent(bill: Bill, used: UsageSums) -> list[dict[str, Any]]:
    of_agents: dict[str, list[tuple[str, Sum]]] = {}
    for session, by_model in taking_turns(used.of_sessions.items()):
        of_agents.setdefault(session.agent_id, []).extend(by_model.items())
    return [{"agentId": agent_id, "totals": bill.of(items)} for agent_id, items in sorted(of_agents.items())]


def _session(bill: Bill, session: UsedSession, by_model: Mapping[str, Sum]) -> dict[str, Any]:
    told = {
        "key": session.key,
        "agentId": session.agent_id,
        "sessionId": session.session_id,
        "updatedAt": ms(session.updated_at),
        "usage": {**bill.of(by_model.items()), "modelUsage": bill.grouped(by_model.items(), _model_of)},
    }
    return told | ({"label": session.label} if session.label else {})


METHODS = (Method("sessions.usage", READ, _USAGE, _usage, waits=True),)
