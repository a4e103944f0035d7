"""What is changed of a session besides its turns. Times are Unix seconds."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from sqlalchemy import Connection, bindparam, delete, func, insert, or_, select, update

from app.errors import Conflict, InvalidRequest
from app.ids import new_uuid
from app.sessions import keys
from app.sessions.tables import messages, sessions, summaries, turns

_SESSION = select(sessions).where(sessions.c.key == bindparam("key"))
_NEW = insert(sessions)
_TAKEN = select(sessions.c.key).where(
    sessions.c.agent_id == bindparam("agent_id"), sessions.c.label == bindparam("label")
)
_LAST_TURN = select(func.max(turns.c.id)).where(turns.c.session == bindparam("session"))
_TURNS = select(turns.c.id).where(turns.c.session == bindparam("session"), turns.c.id >= bindparam("first"))
_TURN_OF_MESSAGE = (
    _TURNS.join(messages, messages.c.turn == turns.c.id)
    .order_by(turns.c.id.desc(), messages.c.position.desc())
    .limit(1)
    .offset(bindparam("later"))
)
_EARLIER = _TURNS.where(turns.c.id < bindparam("before")).limit(1)


def find(connection: Connection, key: str) -> Any | None:
    return connection.execute(_SESSION, {"key": key}).first()


def make(connection: Connection, key: str, agent_id: str, created_at: float, updated_at: float, **more: Any) -> int:
    """A new session's row id."""
    made = connection.execute(
        _NEW,
        {
            "key": key,
            "agent_id": agent_id,
            "session_id": new_uuid(),
            "created_at": created_at,
            "updated_at": updated_at,
            **more,
        },
    ).inserted_primary_key
    assert made is not None
    return int(made[0])


def put(
    connection: Connection,
    key: str,
    agent_id: str,
    now: float,
    values: Mapping[str, str | None],
    *,
    session_id: str | None = None,
) -> bool:
    """Set ``label`` and ``model``; whether the session had to be made for it.

    Raises InvalidRequest for a label that another of the agent's sessions with the same owner has, Conflict where it is
    not ``session_id``.
    """
    row = find(connection, key)
    check_id(row, session_id)
    label = values.get("label")
    if label is not None:
        for taken in connection.execute(_TAKEN, {"agent_id": agent_id, "label": label}).scalars():
            # What others have called theirs is not told.
            if taken != key and keys.owner(taken) == keys.owner(key):
                raise InvalidRequest(f"label: the session {taken!r} has it already", param="label")
    if row is None:
        make(connection, key, agent_id, now, now, **values)
    elif values:
        connection.execute(update(sessions).where(sessions.c.id == row.id).values(**values))
    return row is None


def check_id(row: Any | None, session_id: str | None) -> None:
    """Raise Conflict for a session that is not, or no more, the one that a caller knows."""
    if session_id is not None and (row is None or row.session_id != session_id):
        raise Conflict("expectedSessionId: the session has begun anew since, or is gone", param="expectedSessionId")


def begin_anew(connection: Connection, session: int, first_turn: int, **values: Any) -> str:
    """What was said before ``first_turn`` is on record only. The new session id."""
    id = new_uuid()
    connection.execute(
        update(sessions).where(sessions.c.id == session).values(first_turn=first_turn, session_id=id, **values)
    )
    return id


def reset(connection: Connection, key: str, agent_id: str, now: float) -> str:
    """The new session id; a session that is not there is made."""
    row = find(connection, key)
    session = row.id if row is not None else make(connection, key, agent_id, now, now)
    last = connection.execute(_LAST_TURN, {"session": session}).scalar_one()
    return begin_anew(connection, session, 0 if last is None else last + 1, updated_at=now)


def keep_latest(connection: Connection, key: str, kept: int) -> str | None:
    """Keep the turns of the latest ``kept`` messages; the agent id, None where there are no more than those."""
    row = find(connection, key)
    if row is None:
        return None
    asked = {"session": row.id, "first": row.first_turn}
    first = connection.execute(_TURN_OF_MESSAGE, {**asked, "later": kept - 1}).scalar()
    if first is None or connection.execute(_EARLIER, {**asked, "before": first}).first() is None:
        return None
    connection.execute(update(sessions).where(sessions.c.id == row.id).values(first_turn=first))
    # A summary would bring back what is to be gone.
    connection.execute(delete(summaries).where(summaries.c.session == row.id))
    return str(row.agent_id)


def forget(connection: Connection, doomed: Sequence[int]) -> None:
    """Delete these sessions with all that they hold."""
    of_them = select(turns.c.id).where(turns.c.session.in_(doomed))
    connection.execute(delete(messages).where(messages.c.turn.in_(of_them)))
    connection.execute(delete(turns).where(turns.c.session.in_(doomed)))
    connection.execute(delete(summaries).where(summaries.c.session.in_(doomed)))
    connection.execute(delete(sessions).where(sessions.c.id.in_(doomed)))


def old_ones(connection: Connection, before: float, keep: int, most: int) -> Sequence[int]:
    """Up to ``most`` sessions not used since ``before``, or not among the ``keep`` latest."""
    latest = select(sessions.c.id).order_by(sessions.c.updated_at.desc(), sessions.c.id.desc()).limit(keep)
    return (
        connection.execute(
            select(sessions.c.id).where(or_(sessions.c.updated_at < before, sessions.c.id.not_in(latest))).limit(most)
        )
        .scalars()
        .all()
    )
