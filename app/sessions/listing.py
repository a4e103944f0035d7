"""What is known of sessions without reading them, and how they are found."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import orjson
from sqlalchemy import ColumnElement, Connection, bindparam, case, func, or_, select

from app.providers.stream import text_of
from app.sessions.ownership import owned_by
from app.sessions.tables import messages, sessions, turns

# Sessions of one page.
MAX_PAGE = 500
# Characters of a session's title, and of its last message.
TITLE, PREVIEW = 60, 160
# Bytes of a message that is read for a title; one with images may have more.
MOST_READ = 256 * 1024


class LastTurn(NamedTuple):
    """The latest turn of a session. Times are Unix seconds."""

    run_id: str
    status: str
    error: str | None
    model: str | None
    channel: str | None
    started_at: float
    ended_at: float


@dataclass(frozen=True, slots=True)
class SessionInfo:
    """One session. Times are Unix seconds; turns and tokens are those since it began anew.

    model: the ``provider/model`` chosen for this session. title, preview: the beginnings of the user's first message
    and of the last one, where they were asked for.
    """

    key: str
    agent_id: str
    session_id: str
    created_at: float
    updated_at: float
    label: str | None = None
    model: str | None = None
    turns: int = 0
    prompt_tokens: int = 0
    completion_tokens: int = 0
    cached_tokens: int = 0
    last: LastTurn | None = None
    title: str | None = None
    preview: str | None = None


class SessionPage(NamedTuple):
    """total: how many there are in all."""

    sessions: Sequence[SessionInfo]
    total: int


_SESSIONS = select(
    sessions.c.id,
    sessions.c.key,
    sessions.c.agent_id,
    sessions.c.session_id,
    sessions.c.created_at,
    sessions.c.updated_at,
    sessions.c.label,
    sessions.c.model,
).order_by(sessions.c.updated_at.desc(), sessions.c.id.desc())
_OF_KEY = _SESSIONS.where(sessions.c.key == bindparam("key"))
_SUMS = (
    select(
        turns.c.session,
        func.count().label("turns"),
        func.sum(turns.c.prompt_tokens).label("prompt_tokens"),
        func.sum(turns.c.completion_tokens).label("completion_tokens"),
        func.sum(turns.c.cached_tokens).label("cached_tokens"),
        func.min(turns.c.id).label("first"),
        func.max(turns.c.id).label("last"),
    )
    .join(sessions, sessions.c.id == turns.c.session)
    .where(turns.c.session.in_(bindparam("sessions", expanding=True)), turns.c.id >= sessions.c.first_turn)
    .group_by(turns.c.session)
)
_LAST = select(
    turns.c.id,
    turns.c.run_id,
    turns.c.status,
    turns.c.error,
    turns.c.model,
    turns.c.channel,
    turns.c.started_at,
    turns.c.ended_at,
).where(turns.c.id.in_(bindparam("turns", expanding=True)))
_SPOKEN = (
    select(
        messages.c.turn,
        messages.c.role,
        case((func.length(messages.c.body) <= MOST_READ, messages.c.body)).label("body"),
    )
    .where(messages.c.turn.in_(bindparam("turns", expanding=True)), messages.c.role.in_(("user", "assistant")))
    .order_by(messages.c.turn, messages.c.position)
)


def page(
    connection: Connection,
    *,
    agent_ids: Collection[str] | None,
    owner: str | None,
    search: str | None,
    label: str | None,
    since: float | None,
    limit: int,
    offset: int,
    texts: bool,
) -> SessionPage:
    """See ``SessionStore.page``."""
    conditions: list[ColumnElement[bool]] = []
    if agent_ids is not None:
        conditions.append(sessions.c.agent_id.in_(agent_ids))
    if owner is not None:
        conditions.append(owned_by(owner))
    if label is not None:
        conditions.append(sessions.c.label == label)
    if since is not None:
        conditions.append(sessions.c.updated_at >= since)
    if search:
        columns = (sessions.c.key, sessions.c.label)
        within = [column.icontains(search, autoescape=True) for column in columns]
        conditions.append(or_(*within, sessions.c.session_id == search.lower()))
    total = connection.execute(select(func.count()).select_from(sessions).where(*conditions)).scalar_one()
    rows = connection.execute(_SESSIONS.where(*conditions).limit(min(limit, MAX_PAGE)).offset(offset)).all()
    return SessionPage(_described(connection, rows, texts), total)


def of_key(connection: Connection, key: str, *, texts: bool = False) -> SessionInfo | None:
    found = _described(connection, connection.execute(_OF_KEY, {"key": key}).all(), texts)
    return found[0] if found else None


def find(
    connection: Connection,
    *,
    session_id: str | None,
    label: str | None,
    agent_id: str | None,
    owner: str | None,
    limit: int,
) -> Sequence[SessionInfo]:
    """See ``SessionStore.find``."""
    query = _SESSIONS.limit(limit)
    if session_id is not None:
        query = query.where(sessions.c.session_id == session_id)
    if label is not None:
        query = query.where(sessions.c.label == label)
    if agent_id is not None:
        query = query.where(sessions.c.agent_id == agent_id)
    if owner is not None:
        query = query.where(owned_by(owner))
    return _described(connection, connection.execute(query).all(), False)


def _described(connection: Connection, rows: Sequence[Any], texts: bool) -> list[SessionInfo]:
    """The sessions of these rows, with what their turns say of them."""
    if not rows:
        return []
    sums = {row.session: row for row in connection.execute(_SUMS, {"sessions": [row.id for row in rows]})}
    lasts = {
        row.id: LastTurn(*row[1:])
        for row in connection.execute(_LAST, {"turns": [each.last for each in sums.values()]})
    }
    said = _texts(connection, sums.values()) if texts else {}
    found = []
    for row in rows:
        known = dict(row._mapping)
        if (of_turns := sums.get(known.pop("id"))) is not None:
            known |= {
                "turns": of_turns.turns,
                "prompt_tokens": of_turns.prompt_tokens,
                "completion_tokens": of_turns.completion_tokens,
                "cached_tokens": of_turns.cached_tokens,
                "last": lasts.get(of_turns.last),
                "title": said.get(of_turns.first, (None, None))[0],
                "preview": said.get(of_turns.last, (None, None))[1],
            }
        found.append(SessionInfo(**known))
    return found


def _texts(connection: Connection, sums: Collection[Any]) -> dict[int, tuple[str | None, str | None]]:
    """By turn, the beginnings of the user's first text and of the last text."""
    asked = {turn for each in sums for turn in (each.first, each.last)}
    found: dict[int, tuple[str | None, str | None]] = {}
    for row in connection.execute(_SPOKEN, {"turns": sorted(asked)}):
        text = " ".join(text_of(orjson.loads(row.body)).split()) if row.body is not None else ""
        if text:
            first, _ = found.get(row.turn, (None, None))
            if first is None and row.role == "user":
                first = _clipped(text, TITLE)
            found[row.turn] = (first, _clipped(text, PREVIEW))
    return found


def _clipped(text: str, most: int) -> str:
    return text if len(text) <= most else text[: most - 1].rstrip() + "…"
