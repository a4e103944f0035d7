"""What sessions used: turns and tokens by session, model and day."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import UTC, date, datetime
from typing import Any, NamedTuple

from sqlalchemy import BigInteger, Connection, bindparam, case, cast, func, select

from app.concurrency.slices import taking_turns
from app.sessions.ownership import owned_by
from app.sessions.tables import FAILED, sessions, turns

# Turns that one read looks at, so that no other work waits long behind it.
AT_ONCE = 5_000
DAY = 86_400


class Sum(NamedTuple):
    """Of some turns, ``failed`` ones among them. ``cached`` is the part of ``prompt`` that the provider had cached."""

    turns: int = 0
    failed: int = 0
    prompt: int = 0
    completion: int = 0
    cached: int = 0

    def plus(self, other: Sum) -> Sum:
        return Sum(*map(int.__add__, self, other))


class UsedSession(NamedTuple):
    """updated_at: Unix seconds."""

    key: str
    agent_id: str
    session_id: str
    label: str | None
    updated_at: float


class UsageSums(NamedTuple):
    """Sums by model (``provider/model``, empty where none answered), for each session and each day (UTC)."""

    of_sessions: dict[UsedSession, dict[str, Sum]]
    of_days: dict[date, dict[str, Sum]]


# Parameters of a query for some of the turns.
Part = Mapping[str, int]

_SESSIONS = select(
    sessions.c.id,
    sessions.c.key,
    sessions.c.agent_id,
    sessions.c.session_id,
    sessions.c.label,
    sessions.c.updated_at,
)
_BOUNDS = select(func.min(turns.c.id), func.max(turns.c.id))
_day = (cast(turns.c.ended_at, BigInteger) // DAY).label("day")
_model = func.coalesce(turns.c.model, "").label("model")
_SUMS = (
    select(
        turns.c.session,
        _day,
        _model,
        func.count(),
        func.sum(case((turns.c.status == FAILED, 1), else_=0)),
        func.sum(turns.c.prompt_tokens),
        func.sum(turns.c.completion_tokens),
        func.sum(turns.c.cached_tokens),
    )
    .where(turns.c.ended_at >= bindparam("since"), turns.c.ended_at < bindparam("until"))
    .group_by(turns.c.session, _day, _model)
)
_IN_RANGE = _SUMS.where(turns.c.id >= bindparam("first"), turns.c.id < bindparam("after"))
_OF_SESSION = _SUMS.where(turns.c.session == bindparam("session"))


class Tally:
    """Usage between two times (Unix seconds, the later one excluded), counted part by part.

    ``begin``, then ``add`` each of its parts, then ``sums``.
    """

    def __init__(self, since: float, until: float) -> None:
        self._asked: dict[str, Any] = {"since": since, "until": until}
        self._sessions: dict[int, UsedSession] = {}
        # By row and model, by day and model; lists, because there may be as many as turns.
        self._of_sessions: dict[tuple[int, str], list[int]] = {}
        self._of_days: dict[tuple[int, str], list[int]] = {}

    def begin(self, connection: Connection, key: str | None, agent_id: str | None, owner: str | None) -> Sequence[Part]:
        """Which turns to count, of one session, of one agent's or of all, those of one owner, in parts."""
        query = _SESSIONS
        if key is not None:
            query = query.where(sessions.c.key == key)
        if agent_id is not None:
            query = query.where(sessions.c.agent_id == agent_id)
        if owner is not None:
            query = query.where(owned_by(owner))
        self._sessions = {id: UsedSession(*known) for id, *known in connection.execute(query)}
        if key is not None:
            return [{"session": id} for id in self._sessions]
        first, last = connection.execute(_BOUNDS).one()
        if first is None:
            return []
        return [{"first": start, "after": start + AT_ONCE} for start in range(first, last + 1, AT_ONCE)]

    def add(self, connection: Connection, part: Part) -> None:
        query = _OF_SESSION if "session" in part else _IN_RANGE
        for session, day, model, *numbers in connection.execute(query, {**self._asked, **part}):
            if session in self._sessions:
                _add(self._of_sessions, (session, model), numbers)
                _add(self._of_days, (day, model), numbers)

    def sums(self) -> UsageSums:
        """Cooperative."""
        found = UsageSums({}, {})
        for (session, model), numbers in taking_turns(self._of_sessions.items()):
            found.of_sessions.setdefault(self._sessions[session], {})[model] = Sum(*numbers)
        for (day, model), numbers in taking_turns(self._of_days.items()):
            on = datetime.fromtimestamp(day * DAY, UTC).date()
            found.of_days.setdefault(on, {})[model] = Sum(*numbers)
        return found


def _add(sums: dict[tuple[int, str], list[int]], to: tuple[int, str], numbers: list[int]) -> None:
    known = sums.get(to)
    if known is None:
        sums[to] = list(numbers)
    else:
        for i, number in enumerate(numbers):
            known[i] += number
