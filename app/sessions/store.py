"""What sessions hold, on disk."""

from __future__ import annotations

import logging
import time
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import groupby
from typing import Any, NamedTuple

import orjson
from sqlalchemy import Connection, CursorResult, Engine, bindparam, delete, func, insert, or_, select, update

from app.ids import new_uuid
from app.providers.stream import Message, Usage
from app.sessions.answers import AnswerStore
from app.sessions.history import PastTurn
from app.sessions.journal import Journal
from app.sessions.tables import messages, sessions, summaries, turns

log = logging.getLogger("gateway.sessions")

DONE, INTERRUPTED, FAILED = "done", "interrupted", "failed"

# How many sessions one pass of pruning removes in one transaction, so that no turn waits long behind it.
PRUNE_BATCH = 200


@dataclass(frozen=True, slots=True)
class TurnRecord:
    """One turn as it is kept. ``messages``: what it adds, the model's answer last. Times are Unix seconds."""

    key: str
    agent_id: str
    run_id: str
    status: str
    messages: Sequence[Message]
    usage: Usage
    model: str
    started_at: float
    ended_at: float
    error: str | None = None
    channel: str | None = None


class History(NamedTuple):
    """summary: what the turns before ``turns`` said, as the model wrote it down; empty while ``turns`` are all."""

    summary: str
    turns: list[PastTurn]


@dataclass(frozen=True, slots=True)
class SessionInfo:
    """What is known of a session without reading it. Times are Unix seconds, tokens are of all its turns."""

    key: str
    agent_id: str
    created_at: float
    updated_at: float
    turns: int
    prompt_tokens: int
    completion_tokens: int


# Built once: compiling them costs more than running them.
_HISTORY = (
    select(turns.c.id, messages.c.body)
    .join(turns, turns.c.id == messages.c.turn)
    .join(sessions, sessions.c.id == turns.c.session)
    .where(
        sessions.c.key == bindparam("key"),
        sessions.c.updated_at >= bindparam("since"),
        turns.c.id >= sessions.c.first_turn,
        turns.c.id > bindparam("after"),
        turns.c.status != FAILED,
    )
    .order_by(turns.c.id, messages.c.position)
)
_SUMMARY = (
    select(summaries.c.through_turn, summaries.c.body)
    .join(sessions, sessions.c.id == summaries.c.session)
    .where(
        sessions.c.key == bindparam("key"),
        sessions.c.updated_at >= bindparam("since"),
        summaries.c.through_turn >= sessions.c.first_turn,
    )
    .order_by(summaries.c.id.desc())
    .limit(1)
)
_INFO = (
    select(
        sessions.c.key,
        sessions.c.agent_id,
        sessions.c.created_at,
        sessions.c.updated_at,
        func.count(turns.c.id).label("turns"),
        func.coalesce(func.sum(turns.c.prompt_tokens), 0).label("prompt_tokens"),
        func.coalesce(func.sum(turns.c.completion_tokens), 0).label("completion_tokens"),
    )
    .join(turns, turns.c.session == sessions.c.id, isouter=True)
    .group_by(sessions.c.id)
    .order_by(sessions.c.updated_at.desc(), sessions.c.id.desc())
)
_INFO_OF_KEY = _INFO.where(sessions.c.key == bindparam("key"))
_INFO_OF_AGENT = _INFO.where(sessions.c.agent_id == bindparam("agent_id")).limit(bindparam("limit"))
_NEW_SESSION = insert(sessions)
_NEW_TURN = insert(turns)
_NEW_MESSAGES = insert(messages)
_NEW_SUMMARY = insert(summaries)
_USED = update(sessions).where(sessions.c.id == bindparam("row")).values(updated_at=bindparam("now"))
_BEGIN_ANEW = update(sessions).where(sessions.c.id == bindparam("row")).values(first_turn=bindparam("turn"))
_SESSION = select(sessions.c.id, sessions.c.updated_at).where(sessions.c.key == bindparam("key"))


class SessionStore:
    """Reads and writes happen off the hub; callers wait for them, other greenlets go on.

    answers: those kept for callers that send a request again, in the same database.
    """

    def __init__(self, engine: Engine) -> None:
        self._journal = Journal(engine)
        self.answers = AnswerStore(self._journal)

    def history(self, key: str, since: float = 0.0, *, whole: bool = False) -> History:
        """A session's turns, oldest first, without failed ones; those that a summary covers only if ``whole``.

        since: Unix seconds; a session that was not used after that begins anew.
        """

        def read(connection: Connection) -> tuple[Any, list[Any]]:
            asked = {"key": key, "since": since}
            summary = None if whole else connection.execute(_SUMMARY, asked).first()
            after = summary.through_turn if summary else -1
            return summary, list(connection.execute(_HISTORY, {**asked, "after": after}))

        summary, rows = self._journal.run(read)
        past = [
            PastTurn(turn, [orjson.loads(row.body) for row in group])
            for turn, group in groupby(rows, key=lambda row: row.id)
        ]
        return History(summary.body.decode() if summary else "", past)

    def summarise(self, key: str, through_turn: int, summary: str) -> None:
        """Keep what the turns up to ``through_turn`` said. They stay on record."""

        def write(connection: Connection) -> None:
            row = connection.execute(_SESSION, {"key": key}).first()
            if row is not None:
                connection.execute(
                    _NEW_SUMMARY,
                    {
                        "session": row.id,
                        "through_turn": through_turn,
                        "body": summary.encode("utf-8", "replace"),
                        "created_at": time.time(),
                    },
                )

        self._journal.run(write)

    def info(self, key: str) -> SessionInfo | None:
        found = self._infos(_INFO_OF_KEY, {"key": key})
        return found[0] if found else None

    def latest(self, agent_id: str, limit: int) -> list[SessionInfo]:
        """The agent's sessions, the one used last first."""
        return self._infos(_INFO_OF_AGENT, {"agent_id": agent_id, "limit": limit})

    def _infos(self, query: Any, asked: dict[str, Any]) -> list[SessionInfo]:
        rows = self._journal.run(lambda connection: connection.execute(query, asked).all())
        return [SessionInfo(**row._mapping) for row in rows]

    def record(self, turn: TurnRecord, since: float = 0.0) -> None:
        """Store a turn. Once this returns, it survives the death of the process and loss of power."""
        bodies = [(message["role"], orjson.dumps(message)) for message in turn.messages]
        row = {
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

        def write(connection: Connection) -> None:
            session, fresh = _touch(connection, turn, since)
            turn_id = _inserted(connection.execute(_NEW_TURN, {"session": session, **row}))
            connection.execute(
                _NEW_MESSAGES,
                [
                    {"turn": turn_id, "position": position, "role": role, "body": body}
                    for position, (role, body) in enumerate(bodies)
                ],
            )
            if fresh:
                connection.execute(_BEGIN_ANEW, {"row": session, "turn": turn_id})

        self._journal.run(write)

    def prune(self, before: float, keep: int) -> int:
        """Forget sessions not used since ``before`` (Unix seconds) and, of the others, all but the ``keep`` latest.

        Kept answers are forgotten at their own age. Returns how many sessions there were.
        """
        self.answers.expire()
        removed = 0
        while count := self._journal.run(lambda connection: _prune_some(connection, before, keep)):
            removed += count
        if removed:
            log.info("forgot %d sessions that were old or too many", removed)
        return removed

    def count(self) -> int:
        return self._journal.run(
            lambda connection: connection.execute(select(func.count()).select_from(sessions)).scalar_one()
        )

    def close(self) -> None:
        self._journal.close()


def _touch(connection: Connection, turn: TurnRecord, since: float) -> tuple[int, bool]:
    """The session's row id, made if need be, and whether its history begins anew with this turn."""
    row = connection.execute(_SESSION, {"key": turn.key}).first()
    if row is None:
        created = connection.execute(
            _NEW_SESSION,
            {
                "key": turn.key,
                "agent_id": turn.agent_id,
                "session_id": new_uuid(),
                "created_at": turn.started_at,
                "updated_at": turn.ended_at,
            },
        )
        return _inserted(created), False
    connection.execute(_USED, {"row": row.id, "now": turn.ended_at})
    return row.id, row.updated_at < since


def _inserted(result: CursorResult[Any]) -> int:
    """The id of the row that was made."""
    key = result.inserted_primary_key
    assert key is not None
    return int(key[0])


def _prune_some(connection: Connection, before: float, keep: int) -> int:
    latest = select(sessions.c.id).order_by(sessions.c.updated_at.desc(), sessions.c.id.desc()).limit(keep)
    doomed = (
        connection.execute(
            select(sessions.c.id)
            .where(or_(sessions.c.updated_at < before, sessions.c.id.not_in(latest)))
            .limit(PRUNE_BATCH)
        )
        .scalars()
        .all()
    )
    if doomed:
        of_them = select(turns.c.id).where(turns.c.session.in_(doomed))
        connection.execute(delete(messages).where(messages.c.turn.in_(of_them)))
        connection.execute(delete(turns).where(turns.c.session.in_(doomed)))
        connection.execute(delete(summaries).where(summaries.c.session.in_(doomed)))
        connection.execute(delete(sessions).where(sessions.c.id.in_(doomed)))
    return len(doomed)
