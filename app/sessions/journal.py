"""The one connection to the database, off the hub, with the commits of waiting turns shared.

SQLite blocks whoever calls it, so all of it happens in one native thread. While one transaction is being written to
disk the next jobs gather, and they share the following commit: a full sync costs the same for one turn and for many.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar, cast

import gevent
from gevent.event import AsyncResult
from gevent.threadpool import ThreadPool
from sqlalchemy import Connection, Engine

T = TypeVar("T")
Job = Callable[[Connection], Any]

# How many jobs share a commit; bounds what one reader waits for.
MAX_BATCH = 256


class Journal:
    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._thread = ThreadPool(1)
        self._waiting: list[tuple[Job, AsyncResult[Any]]] = []
        self._writing = False

    def submit(self, job: Callable[[Connection], T]) -> AsyncResult[T]:
        """Queue a job for the next commit. The result is set once that is on disk, or raises what went wrong.

        A job that raises is rolled back alone. Jobs run in the order of submission.
        """
        result: AsyncResult[T] = AsyncResult()
        self._waiting.append((job, result))
        if not self._writing:
            self._writing = True
            gevent.spawn(self._write)
        return result

    def run(self, job: Callable[[Connection], T]) -> T:
        """``submit``, and wait."""
        return cast(T, self.submit(job).get())

    def close(self) -> None:
        """Wait for what is queued, then close the database."""
        while self._writing:
            gevent.sleep(0.01)
        self._thread.apply(self._engine.dispose)
        self._thread.kill()

    def _write(self) -> None:
        try:
            while self._waiting:
                batch, self._waiting = self._waiting[:MAX_BATCH], self._waiting[MAX_BATCH:]
                try:
                    outcomes = self._thread.apply(self._commit, ([job for job, _ in batch],))
                except Exception as error:  # the commit itself failed, and with it every job
                    outcomes = [error] * len(batch)
                for (_, result), outcome in zip(batch, outcomes, strict=True):
                    if isinstance(outcome, Exception):
                        result.set_exception(outcome)
                    else:
                        result.set(outcome)
        finally:
            self._writing = False

    def _commit(self, jobs: list[Job]) -> list[Any]:
        outcomes: list[Any] = []
        with self._engine.begin() as connection:
            for job in jobs:
                try:
                    with connection.begin_nested():
                        outcomes.append(job(connection))
                except Exception as error:
                    if not _in_transaction(connection):
                        # A full disk ends the whole transaction, and with it the jobs that went well before.
                        raise
                    outcomes.append(error)
        return outcomes


def _in_transaction(connection: Connection) -> bool:
    return bool(getattr(connection.connection.driver_connection, "in_transaction", True))
