"""The journal: commits that are shared, jobs that fail alone, and a hub that never waits."""

from __future__ import annotations

import sqlite3
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import gevent
import pytest
from gevent.event import AsyncResult
from sqlalchemy import Connection, Engine, event, text
from sqlalchemy.exc import StatementError

from app.errors import StorageUnavailable
from app.sessions import database
from app.sessions import journal as journal_module
from app.sessions.database import open_database
from app.sessions.journal import Job, Journal


@pytest.fixture
def lines(journal: Journal) -> Callable[[], list[Any]]:
    """A table of one column, and what stands in it."""
    get(journal.submit(lambda connection: connection.execute(text("CREATE TABLE lines (line)"))))
    return lambda: get(
        journal.submit(lambda connection: list(connection.execute(text("SELECT line FROM lines")).scalars()))
    )


def adds(line: Any) -> Job:
    return lambda connection: connection.execute(text("INSERT INTO lines VALUES (:line)"), {"line": line}) and line


def fails(connection: Connection) -> None:
    connection.execute(text("INSERT INTO lines VALUES ('never')"))
    raise ValueError("this job alone")


def get(result: AsyncResult[Any]) -> Any:
    with gevent.Timeout(15):
        return result.get()


def outcome(result: AsyncResult[Any]) -> Any:
    try:
        return get(result)
    except Exception as error:
        return type(error)


def test_a_result_is_what_the_job_returned(journal: Journal, lines: Callable[[], list[Any]]) -> None:
    """Whoever submits a job gets its value once it is committed."""
    assert get(journal.submit(adds("a"))) == "a"
    assert lines() == ["a"]


def test_a_result_is_set_after_the_commit(journal: Journal, path: Path, lines: Callable[[], list[Any]]) -> None:
    """When the result is there, another connection sees what was written."""
    get(journal.submit(adds("a")))
    other = sqlite3.connect(path)
    assert other.execute("SELECT line FROM lines").fetchall() == [("a",)]
    other.close()


def test_a_job_that_fails_is_rolled_back_alone(journal: Journal, lines: Callable[[], list[Any]]) -> None:
    """Those that share its commit are stored, and it leaves nothing."""
    results = [journal.submit(job) for job in (adds("a"), fails, adds("b"))]
    assert [outcome(result) for result in results] == ["a", ValueError, "b"]
    assert lines() == ["a", "b"]


def test_jobs_run_in_the_order_of_submission(journal: Journal, lines: Callable[[], list[Any]]) -> None:
    """More jobs than one commit takes are written one after the other, as they came."""
    count = journal_module.MAX_BATCH * 2 + 1
    gevent.joinall([journal.submit(adds(number)) for number in range(count)], timeout=15)
    assert lines() == list(range(count))


def test_waiting_jobs_share_a_commit(engine: Engine, journal: Journal, lines: Callable[[], list[Any]]) -> None:
    """What gathers while one transaction is written goes to disk together."""
    commits: list[int] = []
    event.listen(engine, "commit", lambda connection: commits.append(1))
    go_on = threading.Event()
    first = journal.submit(lambda connection: go_on.wait(10))
    gevent.sleep(0)
    others = [journal.submit(adds(number)) for number in range(100)]
    go_on.set()
    gevent.joinall([first, *others], timeout=15)
    assert len(commits) == 2
    assert lines() == list(range(100))


def test_the_hub_goes_on_while_the_disk_is_slow(journal: Journal) -> None:
    """Other greenlets work while a job holds the thread."""
    go_on = threading.Event()
    result = journal.submit(lambda connection: go_on.wait(10))

    def other() -> None:
        gevent.sleep(0.01)
        go_on.set()

    with gevent.Timeout(5):
        gevent.spawn(other).join()
    assert get(result) is True


def test_another_processs_write_lock_does_not_stall_the_hub(
    journal: Journal, path: Path, lines: Callable[[], list[Any]]
) -> None:
    """A command line or a backup that holds the lock delays the jobs only, and they succeed when it lets go."""
    other = sqlite3.connect(path, isolation_level=None)
    other.execute("BEGIN IMMEDIATE")
    result = journal.submit(adds("a"))
    turns = 0
    for _ in range(20):
        gevent.sleep(0.001)
        turns += 1
    assert turns == 20
    assert not result.ready()
    other.execute("ROLLBACK")
    other.close()
    assert get(result) == "a"


def test_a_lock_that_is_never_released_fails_the_jobs(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """After the time to wait every job of the commit gets the error, and the next commit works."""
    monkeypatch.setattr(database, "BUSY_TIMEOUT", 0.05)
    journal = Journal(open_database(f"sqlite:///{path}"), patience=0.1)
    other = sqlite3.connect(path, isolation_level=None)
    other.execute("BEGIN IMMEDIATE")
    results = [journal.submit(lambda connection: 1) for _ in range(3)]
    assert [outcome(result) for result in results] == [StorageUnavailable] * 3
    other.execute("ROLLBACK")
    other.close()
    assert get(journal.submit(lambda connection: 1)) == 1
    journal.close()


def test_reads_go_on_while_another_process_holds_the_lock(
    journal: Journal, path: Path, lines: Callable[[], list[Any]]
) -> None:
    """They see what is committed, and wait for no lock of a writer's, nor for writes that do."""
    get(journal.submit(adds("a")))
    other = sqlite3.connect(path, isolation_level=None)
    other.execute("BEGIN IMMEDIATE")
    waiting = journal.submit(adds("b"))
    gevent.sleep(0)
    seen = journal.read(lambda connection: connection.execute(text("SELECT line FROM lines")).scalars().all())
    assert (seen, waiting.ready()) == (["a"], False)
    other.execute("ROLLBACK")
    other.close()
    assert get(waiting) == "b"


def test_a_read_sees_what_was_committed_before(journal: Journal, lines: Callable[[], list[Any]]) -> None:
    """Whoever was told that something is stored finds it."""
    for number in range(50):
        get(journal.submit(adds(number)))
        found = journal.read(lambda connection: connection.execute(text("SELECT max(line) FROM lines")).scalar_one())
        assert found == number


def test_who_only_reads_can_not_write(journal: Journal, lines: Callable[[], list[Any]]) -> None:
    """A write that is taken for a read fails, instead of waiting for locks where nothing should."""
    with pytest.raises(StorageUnavailable):
        journal.read(adds("a"))
    assert lines() == []


def test_what_is_too_large_for_a_full_disk_fails_alone(engine: Engine) -> None:
    """Those that shared its commit, and fit, are stored all the same."""
    journal = Journal(engine, patience=1.0)
    get(journal.submit(lambda connection: connection.execute(text("CREATE TABLE lines (line)"))))
    pages = get(journal.submit(lambda connection: connection.execute(text("PRAGMA page_count")).scalar_one()))
    limit = f"PRAGMA max_page_count={pages + 3}"
    # Of a connection: those that are made later meet the same disk.
    event.listen(engine, "connect", lambda connection, _: connection.execute(limit))
    get(journal.submit(lambda connection: connection.execute(text(limit)).scalar_one()))
    results = [journal.submit(adds(line)) for line in ("before", "x" * 1_000_000, "after")]
    assert [outcome(result) for result in results] == ["before", StorageUnavailable, "after"]
    journal.close()


def test_it_heals_by_itself(journal: Journal, lines: Callable[[], list[Any]], path: Path) -> None:
    """Without anybody who writes: what fails is asked again and again."""
    away = path.with_name("away")
    path.rename(away)
    with pytest.raises(StorageUnavailable):
        journal.read(lambda connection: 1)
    assert journal.failing == "the database file is gone"
    with pytest.raises(StorageUnavailable):
        journal.run(adds("refused at once"))
    away.rename(path)
    with gevent.Timeout(10):
        while journal.failing:
            gevent.sleep(0.01)
    assert lines() == []


def test_how_much_may_wait(engine: Engine, monkeypatch: pytest.MonkeyPatch) -> None:
    """Beyond that a job is refused, whatever happens to the others."""
    monkeypatch.setattr(journal_module, "MAX_WAITING", 2)
    journal = Journal(engine)
    results = [journal.submit(lambda connection: 1) for _ in range(3)]
    assert [outcome(result) for result in results] == [1, 1, StorageUnavailable]
    journal.close()


def test_a_close_does_not_wait_for_a_database_that_fails(engine: Engine, path: Path) -> None:
    """It is tried once more, then whoever waits is told."""
    journal = Journal(engine, patience=3600)
    path.unlink()
    result = journal.submit(lambda connection: 1)
    with gevent.Timeout(10):
        journal.close()
    assert outcome(result) is StorageUnavailable


def test_a_full_disk_acknowledges_nothing_that_is_lost(journal: Journal, lines: Callable[[], list[Any]]) -> None:
    """When the disk is full SQLite drops the whole transaction: no job of that commit may pass for stored."""
    pages = get(journal.submit(lambda connection: connection.execute(text("PRAGMA page_count")).scalar_one()))
    get(journal.submit(lambda connection: connection.execute(text(f"PRAGMA max_page_count={pages + 3}")).scalar_one()))
    results = {line: journal.submit(adds(line)) for line in ("before", "x" * 100_000, "after")}
    stored = [line for line, result in results.items() if outcome(result) == line]
    assert lines() == stored
    get(journal.submit(lambda connection: connection.execute(text("PRAGMA max_page_count=1000000")).scalar_one()))
    assert get(journal.submit(adds("later"))) == "later"
    assert lines() == [*stored, "later"]


def test_a_transaction_that_was_ended_under_a_job_fails_all(journal: Journal, lines: Callable[[], list[Any]]) -> None:
    """Whatever ends the transaction early, jobs before and after it are told."""

    def ends(connection: Connection) -> None:
        connection.exec_driver_sql("ROLLBACK")
        raise ValueError("the disk")

    results = [journal.submit(job) for job in (adds("before"), ends, adds("after"))]
    assert all(isinstance(outcome(result), type) for result in results)
    assert lines() == []


def test_a_job_that_nobody_waits_for_is_done(journal: Journal, lines: Callable[[], list[Any]]) -> None:
    """A greenlet that is killed while it waits doesn't take its job along."""
    go_on = threading.Event()
    journal.submit(lambda connection: go_on.wait(10))
    waiting = gevent.spawn(lambda: journal.submit(adds("a")).get())
    gevent.sleep(0)
    waiting.kill()
    go_on.set()
    assert lines() == ["a"]


def test_a_statement_that_the_database_refuses_is_the_jobs_error(
    journal: Journal, lines: Callable[[], list[Any]]
) -> None:
    """Values that can't be bound fail their job alone."""
    results = [journal.submit(job) for job in (adds("a"), adds(object()), adds("b"))]
    assert issubclass(outcome(results[1]), StatementError)
    assert lines() == ["a", "b"]


def test_closing_waits_for_what_is_queued(engine: Engine, path: Path) -> None:
    """What was submitted before the close is on disk after it, and no side file of SQLite's stays."""
    journal = Journal(engine)
    journal.submit(lambda connection: connection.execute(text("CREATE TABLE lines (line)")))
    for number in range(1000):
        journal.submit(adds(number))
    with gevent.Timeout(15):
        journal.close()
    other = sqlite3.connect(path)
    assert other.execute("SELECT count(*) FROM lines").fetchone() == (1000,)
    other.close()
    assert [file.name for file in path.parent.iterdir()] == [path.name]


def test_closing_twice_is_fine(engine: Engine) -> None:
    """A drain and an exit may both close."""
    journal = Journal(engine)
    with gevent.Timeout(10):
        journal.close()
        journal.close()
