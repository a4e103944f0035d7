"""The database, off the hub: writes in one native thread, with the commits of waiting turns shared, reads in another.

SQLite blocks whoever calls it, so all of it happens in native threads. While one transaction is being written to disk
the next jobs gather, and they share the following commit: a full sync costs the same for one turn and for many. Reads
have a connection of their own, so that no lock of a writer, here or in another process, keeps them waiting.

A database that can't be used is tried again and again until it can. Meanwhile jobs wait for a bounded time, and turns
that are yet to begin are turned away.
"""

from __future__ import annotations

import logging
import tempfile
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple, TypeVar, cast

import gevent
from gevent import monkey
from gevent.event import AsyncResult
from gevent.threadpool import ThreadPool
from sqlalchemy import Connection, Engine, text

from app.errors import StorageUnavailable
from app.sessions.database import bring_here, reader_of
from app.sessions.faults import Files, StorageFault, check_exists, fault_of
from app.sessions.migrations import NewerDatabase

log = logging.getLogger("gateway.sessions")

T = TypeVar("T")
Job = Callable[[Connection], Any]

# How many jobs share a commit; bounds what one reader waits for.
MAX_BATCH = 256
# Jobs that may wait. Turns are turned away long before; this is for all else.
MAX_WAITING = 10_000
# Seconds that a write waits while the database can't be used, on top of one try; a read less, it has lost nothing.
PATIENCE, READ_PATIENCE = 10.0, 2.0
# Seconds between two tries.
TRY_EVERY = 0.25
# Seconds between two lines that say so in the log: on a disk that is nearly full one turn fits and the next does not.
LOG_EVERY = 10.0
# What a first turn needs: with less room the disk is full for all that matters.
PROBE_BYTES = 256 * 1024


class _Waiting(NamedTuple):
    """until: ``time.monotonic()`` after which it isn't tried again."""

    job: Job
    result: AsyncResult[Any]
    until: float


class Journal:
    """patience: seconds that a write waits while the database can't be used.

    failing: why it can't be used, None while it can. closed: nothing is tried again.
    """

    def __init__(self, engine: Engine, patience: float = PATIENCE) -> None:
        self.failing: str | None = None
        self._engine = engine
        self._reader = reader_of(engine)
        assert engine.url.database is not None
        self._path = engine.url.database
        self._files = Files.at(self._path)
        self._writes = _Queue(self._commit, self, patience, self._probe)
        self._reads = _Queue(self._look, self, min(patience, READ_PATIENCE))
        # Held by whoever uses the connection for reading. A native one: it is taken in native threads.
        self._reading: threading.Lock = monkey.get_original("threading", "Lock")()
        self._reopen = False
        self._logged: str | None = None
        self._quiet_until = 0.0
        self.closed = False

    def submit(self, job: Callable[[Connection], T]) -> AsyncResult[T]:
        """Queue a job for the next commit. The result is set once that is on disk, or raises what went wrong.

        A job that raises is rolled back alone. Jobs run in the order of submission, unless the database fails.
        """
        return self._writes.submit(job)

    def run(self, job: Callable[[Connection], T]) -> T:
        """``submit``, and wait. Raises StorageUnavailable at once where it is known already."""
        self.check()
        return cast(T, self.submit(job).get())

    def store(self, job: Callable[[Connection], T]) -> T:
        """The same for what can't be made again: it waits for a database that fails. Raises StorageUnavailable."""
        return cast(T, self.submit(job).get())

    def read(self, job: Callable[[Connection], T]) -> T:
        """What ``job`` reads; it sees all that was committed before. Raises StorageUnavailable."""
        return cast(T, self._reads.submit(job).get())

    def check(self) -> None:
        """Raise StorageUnavailable where nothing can be written, as far as is known."""
        if self.failing is not None:
            raise StorageUnavailable(self.failing)

    def close(self) -> None:
        """Wait for what is queued, then close the database."""
        self.closed = True
        for queue, engine in ((self._reads, self._reader), (self._writes, self._engine)):
            queue.close(engine.dispose)

    # Told by the queues.

    def failed(self, fault: StorageFault) -> None:
        now = time.monotonic()
        if self._logged != fault.reason and now >= self._quiet_until:
            log.error("sessions can't be read or stored: %s", fault)
            self._logged, self._quiet_until = fault.reason, now + LOG_EVERY
        self.failing = fault.reason
        self._reopen = self._reopen or fault.reopen
        if not self.closed:
            # Nobody may have anything to write any more: ask all the same, until it works.
            self._writes.begin()

    def worked(self) -> None:
        """Something was written."""
        self.failing = None
        if self._logged is not None:
            log.warning("sessions can be read and stored again")
            self._logged = None

    # In the native threads.

    def _probe(self, connection: Connection) -> None:
        """Write a little, where there is room for more."""
        with tempfile.TemporaryFile(dir=Path(self._path).parent) as file:
            file.write(bytes(PROBE_BYTES))
        connection.execute(text("UPDATE openclaw_schema SET version = version"))

    def _commit(self, jobs: list[Job]) -> list[Any]:
        if self._reopen:
            self._open_anew()
        outcomes: list[Any] = []
        with self._engine.begin() as connection:
            self._files.check(self._path)
            for job in jobs:
                try:
                    with connection.begin_nested():
                        outcomes.append(job(connection))
                except Exception as error:
                    if fault_of(error) is not None or not _in_transaction(connection):
                        # A full disk ends the whole transaction, and with it the jobs that went well before.
                        raise
                    outcomes.append(error)
        return outcomes

    def _look(self, jobs: list[Job]) -> list[Any]:
        with self._reading:
            self._files.check(self._path)
            return self._read(jobs)

    def _read(self, jobs: list[Job]) -> list[Any]:
        outcomes: list[Any] = []
        with self._reader.connect() as connection, connection.begin():
            for job in jobs:
                try:
                    outcomes.append(job(connection))
                except Exception as error:
                    if fault_of(error) is not None:
                        raise
                    outcomes.append(error)
        return outcomes

    def _open_anew(self) -> None:
        """Both connections are closed first: one that stays would share what SQLite knows of the former files."""
        with self._reading:
            self._reader.dispose()
            self._engine.dispose()
            self._files.set_aside(self._path)
            check_exists(self._path)
            self._files = Files.at(self._path)
        try:
            bring_here(self._engine)
        except NewerDatabase as error:
            raise StorageFault("the database was written by a later version of the gateway", error) from None
        self._files = Files.at(self._path)
        self._reopen = False


class _Queue:
    """Jobs of one connection, in a native thread of their own: those that wait are done together.

    probe: done while the database fails and nobody waits for anything.
    """

    def __init__(
        self, work: Callable[[list[Job]], list[Any]], journal: Journal, patience: float, probe: Job | None = None
    ) -> None:
        self._work = work
        self._journal = journal
        self._patience = patience
        self._probe = probe
        self._thread = ThreadPool(1)
        self._waiting: list[_Waiting] = []
        self._busy = False
        # One at a time after a fault: what is too large for a full disk fails alone.
        self._at_once = MAX_BATCH

    def submit(self, job: Job) -> AsyncResult[Any]:
        result: AsyncResult[Any] = AsyncResult()
        if len(self._waiting) >= MAX_WAITING:
            result.set_exception(StorageUnavailable("too much waits for the database"))
            return result
        self._waiting.append(_Waiting(job, result, time.monotonic() + self._patience))
        self.begin()
        return result

    def begin(self) -> None:
        if not self._busy:
            self._busy = True
            gevent.spawn(self._run)

    def close(self, work: Callable[[], object]) -> None:
        """Wait for what is queued, then do a last thing in its thread."""
        while self._busy:
            gevent.sleep(0.01)
        self._thread.apply(work)
        self._thread.kill()

    def _run(self) -> None:
        try:
            while batch := self._next():
                outcomes = self._thread.apply(self._try, ([each.job for each in batch],))
                if isinstance(outcomes, StorageFault):
                    self._put_off(batch, outcomes)
                    gevent.sleep(TRY_EVERY)
                    continue
                for each, outcome in zip(batch, outcomes, strict=True):
                    if isinstance(outcome, Exception):
                        each.result.set_exception(outcome)
                    else:
                        each.result.set(outcome)
                        self._at_once = MAX_BATCH
                        if self._probe is not None:
                            self._journal.worked()
        finally:
            self._busy = False

    def _try(self, jobs: list[Job]) -> list[Any] | StorageFault:
        """What came of each. Raises nothing: gevent would print it."""
        try:
            return self._work(jobs)
        except Exception as error:  # none of it was done
            return fault_of(error) or [error] * len(jobs)

    def _next(self) -> list[_Waiting]:
        if not self._waiting and self._probe is not None and self._journal.failing and not self._journal.closed:
            return [_Waiting(self._probe, AsyncResult(), 0.0)]
        batch, self._waiting = self._waiting[: self._at_once], self._waiting[self._at_once :]
        return batch

    def _put_off(self, batch: list[_Waiting], fault: StorageFault) -> None:
        """To be tried again, as far as there is time."""
        self._journal.failed(fault)
        # Behind the others, where it was tried alone.
        waiting = [*batch, *self._waiting] if self._at_once > 1 else [*self._waiting, *batch]
        self._at_once = 1
        now = time.monotonic()
        self._waiting = []
        for each in waiting:
            if each.until > now and not self._journal.closed:
                self._waiting.append(each)
            else:
                each.result.set_exception(fault.told())


def _in_transaction(connection: Connection) -> bool:
    return bool(getattr(connection.connection.driver_connection, "in_transaction", True))
