"""What was said in a session, message by message, and how its turns ended."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import orjson
from sqlalchemy import Connection, bindparam, func, select

from app.concurrency.slices import taking_turns
from app.providers.stream import Message, Usage
from app.sessions.history import shown_text
from app.sessions.tables import messages, sessions, turns

# Bytes of messages that are read at once; one message may have more.
MOST_BYTES = 8 * 1024 * 1024


class TurnEnd(NamedTuple):
    """How a turn ended. status: see ``tables``. model: the ``provider/model`` that answered. Times are Unix seconds."""

    status: str
    error: str | None
    model: str | None
    usage: Usage
    started_at: float
    ended_at: float


class Entry(NamedTuple):
    """One message of a transcript.

    id:   names the message as long as it is kept. seq: its place in the session as it is now, the first is 1.
    at:   Unix seconds. end: stands with the last message of each turn.
    """

    id: str
    seq: int
    run_id: str
    message: Message
    at: float
    end: TurnEnd | None = None


class Transcript(NamedTuple):
    """A part of a transcript, oldest first. total: messages of the whole. more: there are older ones."""

    session_id: str
    total: int
    entries: list[Entry]
    more: bool


class TurnOutcome(NamedTuple):
    """What came of a run, from disk. text: what the caller saw of the answer."""

    key: str
    agent_id: str
    session_id: str
    run_id: str
    end: TurnEnd
    text: str


_SESSION = select(sessions.c.id, sessions.c.session_id, sessions.c.first_turn).where(sessions.c.key == bindparam("key"))
_OF_SESSION = (turns.c.session == bindparam("session"), turns.c.id >= bindparam("first"))
_COUNT = select(func.count()).select_from(messages.join(turns, turns.c.id == messages.c.turn)).where(*_OF_SESSION)
_others = messages.alias()
_END = (
    turns.c.id,
    turns.c.run_id,
    turns.c.status,
    turns.c.error,
    turns.c.model,
    turns.c.prompt_tokens,
    turns.c.completion_tokens,
    turns.c.cached_tokens,
    turns.c.started_at,
    turns.c.ended_at,
)
_NEWEST_FIRST = (
    select(messages.c.position)
    .select_from(messages.join(turns, turns.c.id == messages.c.turn))
    .where(*_OF_SESSION)
    .order_by(turns.c.id.desc(), messages.c.position.desc())
    .limit(bindparam("limit"))
    .offset(bindparam("offset"))
)
_SIZES = _NEWEST_FIRST.with_only_columns(func.length(messages.c.body))
_PAGE = _NEWEST_FIRST.with_only_columns(
    *_END,
    messages.c.position,
    messages.c.body,
    select(func.max(_others.c.position)).where(_others.c.turn == turns.c.id).scalar_subquery().label("last"),
)
_TURN = (
    select(*_END, sessions.c.key, sessions.c.agent_id, sessions.c.session_id)
    .join(sessions, sessions.c.id == turns.c.session)
    .where(turns.c.run_id == bindparam("run_id"))
)
_BODIES = select(messages.c.body).where(messages.c.turn == bindparam("turn")).order_by(messages.c.position)


class Page(NamedTuple):
    """Rows of a transcript, the newest first, as the database has them."""

    session_id: str
    total: int
    offset: int
    rows: Sequence[Any]

    def parsed(self) -> Transcript:
        """Cooperative."""
        entries: list[Entry] = []
        for index, row in enumerate(taking_turns(self.rows)):
            message = orjson.loads(row.body)
            # In the middle of a turn nobody looked at the clock: what stands before a user's message came with it.
            newer = entries[-1] if entries and entries[-1].run_id == row.run_id else None
            asked = message["role"] == "user" or (newer is not None and newer.at == row.started_at)
            entries.append(
                Entry(
                    f"{row.id}-{row.position}",
                    self.total - self.offset - index,
                    row.run_id,
                    message,
                    row.started_at if asked else row.ended_at,
                    _end(row) if row.position == row.last else None,
                )
            )
        entries.reverse()
        return Transcript(self.session_id, self.total, entries, self.offset + len(entries) < self.total)


def count(connection: Connection, session: int, first_turn: int) -> int:
    """Messages of the session since ``first_turn``."""
    return connection.execute(_COUNT, {"session": session, "first": first_turn}).scalar_one()


def page(connection: Connection, key: str, limit: int, offset: int, most_bytes: int) -> Page | None:
    """Up to ``limit`` messages before the latest ``offset``; fewer where they have more than ``most_bytes``."""
    session = connection.execute(_SESSION, {"key": key}).first()
    if session is None:
        return None
    asked = {"session": session.id, "first": session.first_turn, "limit": limit, "offset": offset}
    sizes = connection.execute(_SIZES, asked).scalars().all()
    fitting, size = 0, 0
    for each in sizes:
        size += each
        if size > most_bytes and fitting:
            break
        fitting += 1
    rows = connection.execute(_PAGE, {**asked, "limit": fitting}).all()
    return Page(session.session_id, count(connection, session.id, session.first_turn), offset, rows)


def entries_of(turn: int, run_id: str, first_seq: int, said: Sequence[Message], end: TurnEnd) -> list[Entry]:
    """The messages of a turn that was stored just now."""
    asked = max((i for i, message in enumerate(said) if message["role"] == "user"), default=-1)
    last = len(said) - 1
    return [
        Entry(
            f"{turn}-{position}",
            first_seq + position,
            run_id,
            message,
            end.started_at if position <= asked else end.ended_at,
            end if position == last else None,
        )
        for position, message in enumerate(said)
    ]


def outcome(connection: Connection, run_id: str) -> TurnOutcome | None:
    row = connection.execute(_TURN, {"run_id": run_id}).first()
    if row is None:
        return None
    said = [orjson.loads(body) for body in connection.execute(_BODIES, {"turn": row.id}).scalars()]
    # The texts behind the last question: a turn may hold a whole conversation that its request brought.
    asked = max((i for i, message in enumerate(said) if message["role"] == "user"), default=-1)
    return TurnOutcome(row.key, row.agent_id, row.session_id, run_id, _end(row), shown_text(said[asked + 1 :]))


def _end(row: Any) -> TurnEnd:
    return TurnEnd(
        row.status,
        row.error,
        row.model,
        Usage(row.prompt_tokens, row.completion_tokens, row.cached_tokens),
        row.started_at,
        row.ended_at,
    )
