"""What sessions hold, on disk."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import orjson
from sqlalchemy import Connection, CursorResult, Engine, bindparam, delete, func, insert, or_, select, update

from app.ids import new_uuid
from app.providers.stream import Message, Usage
from app.sessions.journal import Journal
from app.sessions.tables import messages, sessions, turns

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


# Built once: compiling them costs more than running them.
_HISTORY = (
    select(messages.c.body)
    .join(turns, turns.c.id == messages.c.turn)
    .join(sessions, sessions.c.id == turns.c.session)
    .where(
        sessions.c.key == bindparam("key"),
        sessions.c.updated_at >= bindparam("since"),
        turns.c.id >= sessions.c.first_turn,
        turns.c.status != FAILED,
    )
    .order_by(turns.c.id, messages.c.position)
)
_NEW_SESSION = insert(sessions)
_NEW_TURN = insert(turns)
_NEW_MESSAGES = insert(messages)
_USED = update(sessions).where(sessions.c.id == bindparam("row")).values(updated_at=bindparam("now"))
_BEGIN_ANEW = update(sessions).where(sessions.c.id == bindparam("row")).values(first_turn=bindparam("turn"))
_SESSION = select(sessions.c.id, sessions.c.updated_at).where(sessions.c.key == bindparam("key"))


class SessionStore:
    """Reads and writes happen off the hub; callers wait for them, other greenlets go on."""

    def __init__(self, engine: Engine) -> None:
        self._journal = Journal(engine)

    def history(self, key: str, since: float = 0.0) -> list[Message]:
        """The messages of a session's turns, oldest first, without those of failed turns.

        since: Unix seconds; a session that was not used after that begins anew.
        """

        def read(connection: Connection) -> list[bytes]:
            return list(connection.execute(_HISTORY, {"key": key, "since": since}).scalars())

        return [orjson.loads(body) for body in self._journal.run(read)]

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
        """Forget sessions not used since ``before`` (Unix seconds) and, of the others, all but the ``keep`` latest."""
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
        connection.execute(delete(sessions).where(sessions.c.id.in_(doomed)))
    return len(doomed)
