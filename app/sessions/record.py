"""Turns on record: how they are written, and read again as a history."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import groupby
from typing import Any, NamedTuple

import orjson
from sqlalchemy import Connection, and_, bindparam, insert, select, update

from app.concurrency.slices import taking_turns
from app.providers.stream import Message, Usage
from app.sessions import edits, transcript
from app.sessions.history import PastTurn
from app.sessions.tables import FAILED, messages, sessions, summaries, turns
from app.sessions.transcript import Entry, TurnEnd


@dataclass(frozen=True, slots=True)
class TurnRecord:
    """One turn as it is kept. ``messages``: what it adds, the model's answer last. Times are Unix seconds.

    status: see ``tables``. model: the ``provider/model`` that answered, None where none was asked.
    """

    key: str
    agent_id: str
    run_id: str
    status: str
    messages: Sequence[Message]
    usage: Usage
    model: str | None
    started_at: float
    ended_at: float
    error: str | None = None
    channel: str | None = None


class History(NamedTuple):
    """summary: what the turns before ``turns`` said, as the model wrote it down; empty while ``turns`` are all.
    model: the ``provider/model`` that was chosen for the session.
    """

    summary: str
    turns: list[PastTurn]
    model: str | None = None


# Built once: compiling them costs more than running them.
_STATE = (
    select(
        sessions.c.id,
        sessions.c.updated_at,
        sessions.c.first_turn,
        sessions.c.model,
        summaries.c.through_turn,
        summaries.c.body,
    )
    .outerjoin(summaries, and_(summaries.c.session == sessions.c.id, summaries.c.through_turn >= sessions.c.first_turn))
    .where(sessions.c.key == bindparam("key"))
    .order_by(summaries.c.id.desc())
    .limit(1)
)
_HISTORY = (
    select(turns.c.id, messages.c.body)
    .join(messages, messages.c.turn == turns.c.id)
    .where(
        turns.c.session == bindparam("session"),
        turns.c.id >= bindparam("first"),
        turns.c.status != FAILED,
    )
    .order_by(turns.c.id, messages.c.position)
)
_NEW_TURN = insert(turns)
_NEW_MESSAGES = insert(messages)
_NEW_SUMMARY = insert(summaries)
_USED = update(sessions).where(sessions.c.id == bindparam("row")).values(updated_at=bindparam("now"))


class StoredHistory(NamedTuple):
    """A history as the database has it. state: of the session, None where there is none."""

    state: Any | None
    summary: bytes | None
    rows: Sequence[Any]

    def parsed(self) -> History:
        """Cooperative."""
        if self.state is None:
            return History("", [])
        past = [
            PastTurn(turn, [orjson.loads(row.body) for row in group])
            for turn, group in groupby(taking_turns(self.rows), key=lambda row: row.id)
        ]
        return History(self.summary.decode() if self.summary else "", past, self.state.model)


def read(connection: Connection, key: str, since: float, *, whole: bool) -> StoredHistory:
    """See ``SessionStore.history``."""
    state = connection.execute(_STATE, {"key": key}).first()
    if state is None or state.updated_at < since:
        return StoredHistory(state, None, ())
    summary, first = (None, state.first_turn) if whole or state.body is None else (state.body, state.through_turn + 1)
    return StoredHistory(state, summary, connection.execute(_HISTORY, {"session": state.id, "first": first}).all())


class StoredTurn(NamedTuple):
    """Where a turn was put. first_seq: the place of its first message in the transcript, 0 where nobody asked."""

    id: int
    first_seq: int

    def entries(self, turn: TurnRecord) -> list[Entry]:
        end = TurnEnd(turn.status, turn.error, turn.model, turn.usage, turn.started_at, turn.ended_at)
        return transcript.entries_of(self.id, turn.run_id, self.first_seq, turn.messages, end)


class NewTurn:
    """A turn to be written. What it holds is rendered here, before the database waits for it."""

    def __init__(self, turn: TurnRecord) -> None:
        self._turn = turn
        self._bodies = [(message["role"], orjson.dumps(message)) for message in turn.messages]

    def write(self, connection: Connection, since: float, *, numbered: bool) -> StoredTurn:
        """numbered: with its place in the transcript."""
        turn = self._turn
        known = edits.find(connection, turn.key)
        if known is None:
            session = edits.make(connection, turn.key, turn.agent_id, turn.started_at, turn.ended_at)
        else:
            session = known.id
            connection.execute(_USED, {"row": session, "now": turn.ended_at})
        row = {
            "session": session,
            "run_id": turn.run_id,
            "status": turn.status,
            "error": turn.error,
            "model": turn.model,
            "prompt_tokens": turn.usage.prompt,
            "completion_tokens": turn.usage.completion,
            "cached_tokens": turn.usage.cached,
            "channel": turn.channel,
            "started_at": turn.started_at,
            "ended_at": turn.ended_at,
        }
        inserted = connection.execute(_NEW_TURN, row).inserted_primary_key
        assert inserted is not None
        id, first_turn = int(inserted[0]), known.first_turn if known is not None else 0
        if known is not None and known.updated_at < since:
            first_turn = id
            edits.begin_anew(connection, session, first_turn)
        earlier = transcript.count(connection, session, first_turn) if numbered else -1
        connection.execute(
            _NEW_MESSAGES,
            [
                {"turn": id, "position": position, "role": role, "body": body}
                for position, (role, body) in enumerate(self._bodies)
            ],
        )
        return StoredTurn(id, earlier + 1)


def summarise(connection: Connection, key: str, through_turn: int, summary: str) -> str | None:
    """The agent's id, None where there is no such session. See ``SessionStore.summarise``."""
    row = edits.find(connection, key)
    if row is None:
        return None
    connection.execute(
        _NEW_SUMMARY,
        {
            "session": row.id,
            "through_turn": through_turn,
            "body": summary.encode("utf-8", "replace"),
            "created_at": time.time(),
        },
    )
    return str(row.agent_id)
