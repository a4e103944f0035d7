"""What sessions hold, on disk."""

from __future__ import annotations

import logging
import time
from collections.abc import Collection, Mapping, Sequence
from functools import partial

from sqlalchemy import Connection, Engine, func, select

from app.ids import new_uuid
from app.providers.stream import Message, Usage
from app.sessions import answers, changes, edits, listing, record, transcript
from app.sessions.answers import AnswerRecord, AnswerStore
from app.sessions.changes import Change, Watcher, Watchers
from app.sessions.journal import Journal
from app.sessions.listing import SessionInfo, SessionPage
from app.sessions.overview import AgentSessions, overview
from app.sessions.record import History, NewTurn, StoredTurn, TurnRecord
from app.sessions.tables import DONE, FAILED, INTERRUPTED, sessions
from app.sessions.transcript import Entry, Transcript, TurnOutcome
from app.sessions.usage import Tally, UsageSums

__all__ = ["DONE", "FAILED", "INTERRUPTED", "History", "SessionInfo", "SessionStore", "TurnRecord"]

log = logging.getLogger("gateway.sessions")

# How many sessions one pass of pruning removes in one transaction, so that no turn waits long behind it.
PRUNE_BATCH = 200


class SessionStore:
    """Reads and writes happen off the hub; callers wait for them, other greenlets go on.

    All of it raises StorageUnavailable: for what is read or changed soon, and at once where it is known already, for
    a turn that is stored after a while.

    answers: those kept for callers that send a request again, in the same database.
    """

    def __init__(self, engine: Engine) -> None:
        self._journal = Journal(engine)
        self._watchers = Watchers()
        self.answers = AnswerStore(self._journal)

    @property
    def failing(self) -> str | None:
        """Why nothing can be stored now, as far as is known; ``check`` raises it as StorageUnavailable."""
        return self._journal.failing

    def check(self) -> None:
        self._journal.check()

    def watch(self, told: Watcher) -> None:
        """Call ``told`` with every later change, once it is on disk, in the greenlet that made it. It must not wait."""
        self._watchers.add(told)

    # What a run reads and writes.

    def history(self, key: str, since: float = 0.0, *, whole: bool = False) -> History:
        """A session's turns, oldest first, without failed ones; those that a summary covers only if ``whole``.

        since: Unix seconds; a session that was not used after that begins anew.
        """

        return self._journal.read(lambda connection: record.read(connection, key, since, whole=whole)).parsed()

    def record(self, turn: TurnRecord, since: float = 0.0, answer: AnswerRecord | None = None) -> None:
        """Store a turn. Once this returns, it survives the death of the process and loss of power.

        since: as for ``history``. answer: what its caller gets for the same ``Idempotency-Key``; either both are
        stored or none. Raises Conflict where that key has an answer already.
        """
        entries = self._record(turn, since, answer)
        self._watchers.tell(Change(turn.key, turn.agent_id, changes.TURN, turn.run_id, entries))

    def inject(self, key: str, agent_id: str, text: str, since: float = 0.0) -> Entry:
        """Let the agent have said ``text``, in a turn of its own that no model answered."""
        now = time.time()
        said: Message = {"role": "assistant", "content": text}
        turn = TurnRecord(key, agent_id, new_uuid(), DONE, [said], Usage(), None, now, now)
        entries = self._record(turn, since, None, numbered=True)
        self._watchers.tell(Change(key, agent_id, changes.INJECTED, turn.run_id, entries))
        return entries[0]

    def _record(
        self, turn: TurnRecord, since: float, answer: AnswerRecord | None, *, numbered: bool = False
    ) -> list[Entry]:
        """The messages as they stand in the transcript, if they are ``numbered``, or somebody watches."""
        numbered = numbered or bool(self._watchers)
        new = NewTurn(turn)

        def write(connection: Connection) -> StoredTurn:
            stored = new.write(connection, since, numbered=numbered)
            if answer is not None:
                answers.write(connection, answer)
            return stored

        stored = self._journal.store(write)
        return stored.entries(turn) if numbered else []

    def summarise(self, key: str, through_turn: int, summary: str) -> None:
        """Keep what the turns up to ``through_turn`` said. They stay on record."""
        agent_id = self._journal.run(lambda connection: record.summarise(connection, key, through_turn, summary))
        if agent_id is not None:
            self._watchers.tell(Change(key, agent_id, changes.COMPACTED))

    # What is known of sessions.

    def info(self, key: str, *, texts: bool = False) -> SessionInfo | None:
        """texts: with title and preview."""
        return self._journal.read(lambda connection: listing.of_key(connection, key, texts=texts))

    def latest(self, agent_id: str, limit: int) -> Sequence[SessionInfo]:
        """The agent's sessions, the one used last first."""
        return self.page(agent_ids=[agent_id], limit=limit).sessions

    def page(
        self,
        *,
        agent_ids: Collection[str] | None = None,
        owner: str | None = None,
        search: str | None = None,
        label: str | None = None,
        since: float | None = None,
        limit: int = 100,
        offset: int = 0,
        texts: bool = False,
    ) -> SessionPage:
        """Up to ``limit`` sessions (``listing.MAX_PAGE`` at most), the one used last first.

        owner: as ``Reach`` has it. search: a part of key or label, in either case, or a session id. label: the whole of
        it. since: Unix seconds of the last use. texts: with titles and previews.
        """
        return self._journal.read(
            lambda connection: listing.page(
                connection,
                agent_ids=agent_ids,
                owner=owner,
                search=search,
                label=label,
                since=since,
                limit=limit,
                offset=offset,
                texts=texts,
            )
        )

    def find(
        self,
        *,
        session_id: str | None = None,
        label: str | None = None,
        agent_id: str | None = None,
        owner: str | None = None,
        limit: int = 10,
    ) -> Sequence[SessionInfo]:
        """Sessions of this id or label, the one used last first."""
        return self._journal.read(
            lambda connection: listing.find(
                connection, session_id=session_id, label=label, agent_id=agent_id, owner=owner, limit=limit
            )
        )

    def transcript(
        self, key: str, limit: int, offset: int = 0, most_bytes: int = transcript.MOST_BYTES
    ) -> Transcript | None:
        """Up to ``limit`` messages before the latest ``offset``, with those of failed turns, since it began anew.

        They are fewer where they have more than ``most_bytes``, but one at least. None for a session that is not there.
        """
        found = self._journal.read(lambda connection: transcript.page(connection, key, limit, offset, most_bytes))
        return None if found is None else found.parsed()

    def turn_of_run(self, run_id: str) -> TurnOutcome | None:
        """What came of a run in a session, as long as that is kept."""
        return self._journal.read(lambda connection: transcript.outcome(connection, run_id))

    def usage(
        self,
        since: float,
        until: float,
        *,
        key: str | None = None,
        agent_id: str | None = None,
        owner: str | None = None,
    ) -> UsageSums:
        """What the turns that ended between two times (Unix seconds, the later one excluded) used.

        Of one session, of one agent's, or of all that are on record; of those, the owner's.
        """
        tally = Tally(since, until)
        for part in self._journal.read(lambda connection: tally.begin(connection, key, agent_id, owner)):
            self._journal.read(partial(tally.add, part=part))
        return tally.sums()

    def overview(self, recent: int) -> dict[str, AgentSessions]:
        """By agent, how many sessions there are, and up to ``recent`` of those used last."""
        return self._journal.read(lambda connection: overview(connection, recent))

    def count(self) -> int:
        return self._journal.read(
            lambda connection: connection.execute(select(func.count()).select_from(sessions)).scalar_one()
        )

    # What is done to sessions.

    def create(
        self, key: str, agent_id: str, label: str | None = None, model: str | None = None
    ) -> tuple[SessionInfo, bool]:
        """The session, and whether it is new; one that is there already gets ``label`` and ``model`` where given.

        Raises InvalidRequest for a label that another session of the agent has.
        """
        given = {name: value for name, value in (("label", label), ("model", model)) if value is not None}
        return self._put(key, agent_id, given, None)

    def patch(
        self, key: str, agent_id: str, values: Mapping[str, str | None], *, session_id: str | None = None
    ) -> SessionInfo:
        """Set ``label`` and ``model`` as far as ``values`` has them; None removes. A new session is made if need be.

        session_id: what the caller takes it for. Raises InvalidRequest for a label that another session of the agent
        has, Conflict for another session id.
        """
        return self._put(key, agent_id, values, session_id)[0]

    def _put(
        self, key: str, agent_id: str, values: Mapping[str, str | None], session_id: str | None
    ) -> tuple[SessionInfo, bool]:
        def write(connection: Connection) -> tuple[SessionInfo, bool]:
            made = edits.put(connection, key, agent_id, time.time(), values, session_id=session_id)
            info = listing.of_key(connection, key)
            assert info is not None
            return info, made

        info, made = self._journal.run(write)
        if made or values:
            self._watchers.tell(Change(key, agent_id, changes.CREATED if made else changes.PATCHED))
        return info, made

    def reset(self, key: str, agent_id: str) -> str:
        """Let the session begin anew: what was said stays on record only. The new session id.

        Label and model stay; a session that is not there is made.
        """
        session_id = self._journal.run(lambda connection: edits.reset(connection, key, agent_id, time.time()))
        self._watchers.tell(Change(key, agent_id, changes.RESET))
        return session_id

    def keep_latest(self, key: str, kept: int) -> bool:
        """Let the history begin with the turn of the ``kept`` th latest message. False where it does already."""
        agent_id = self._journal.run(lambda connection: edits.keep_latest(connection, key, kept))
        if agent_id is not None:
            self._watchers.tell(Change(key, agent_id, changes.COMPACTED))
        return agent_id is not None

    def delete(self, key: str, *, session_id: str | None = None) -> bool:
        """Delete the session and all that it holds. False when it is not there.

        session_id: what the caller takes it for; raises Conflict for another.
        """

        def write(connection: Connection) -> str | None:
            row = edits.find(connection, key)
            edits.check_id(row, session_id)
            if row is None:
                return None
            edits.forget(connection, [row.id])
            return str(row.agent_id)

        agent_id = self._journal.run(write)
        if agent_id is not None:
            self._watchers.tell(Change(key, agent_id, changes.DELETED))
        return agent_id is not None

    def prune(self, before: float, keep: int) -> int:
        """Forget sessions not used since ``before`` (Unix seconds) and, of the others, all but the ``keep`` latest.

        Kept answers are forgotten at their own age. Returns how many sessions there were.
        """

        def forget_some(connection: Connection) -> int:
            doomed = edits.old_ones(connection, before, keep, PRUNE_BATCH)
            if doomed:
                edits.forget(connection, doomed)
            return len(doomed)

        self.answers.expire()
        removed = 0
        while count := self._journal.run(forget_some):
            removed += count
        if removed:
            log.info("forgot %d sessions that were old or too many", removed)
        return removed

    def close(self) -> None:
        self._journal.close()
