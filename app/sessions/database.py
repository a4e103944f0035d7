"""Opening the database: its settings, and the checks that stop a start before anything is touched."""

from __future__ import annotations

import os
import sqlite3
from pathlib import Path
from urllib.parse import quote

from sqlalchemy import URL, Connection, Engine, create_engine, event
from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.pool import StaticPool

from app.config.settings import sqlite_path
from app.sessions.faults import fault_of
from app.sessions.migrations import NewerDatabase, is_current, migrate

# Seconds to wait for another process (a CLI run, a backup) that holds the write lock, at each try.
BUSY_TIMEOUT = 5


_WRITER = (
    "PRAGMA journal_mode=WAL",
    # NORMAL would survive the death of the process, only FULL survives a loss of power.
    "PRAGMA synchronous=FULL",
    "PRAGMA foreign_keys=ON",
)


class StorageError(Exception):
    """The database can't be used; the message is one line that says which file and what to do."""


def open_database(url: str, *, check: bool = True) -> Engine:
    """An engine over one connection, migrated. Raises StorageError.

    check: look through the whole file for damage first, which takes a second for each gigabyte or so.
    """
    path = sqlite_path(url)
    if path is None:
        raise StorageError(f"storage.url: {url.partition(':')[0]} is not supported by this version; use sqlite:///PATH")
    _create(path)
    if check:
        _check(path)
    # A transaction that reads first and writes later can't wait for another process's write; one that asks at once can.
    engine = _engine(str(path), "BEGIN IMMEDIATE", *_WRITER)
    try:
        bring_here(engine)
    except NewerDatabase as error:
        raise StorageError(f"{path} was written by a later version ({error}); update the gateway") from error
    except SQLAlchemyError as error:
        reason = fault_of(error) or _reason(error)
        raise StorageError(f"{path}: {reason}; check the free space and the rights of its folder") from error
    return engine


def bring_here(engine: Engine) -> None:
    """Migrate the database, which waits for others who write only where there is something to do.

    Raises NewerDatabase, SQLAlchemyError.
    """
    reader = reader_of(engine)
    try:
        with reader.begin() as connection:
            current = is_current(connection)
        # It stays open until the other one is: the last to close would put away what the next one makes again.
        with engine.connect():
            pass
    finally:
        reader.dispose()
    if not current:
        with engine.begin() as connection:
            migrate(connection)


def reader_of(engine: Engine) -> Engine:
    """Another connection to the same database, which only reads and so waits for nobody who writes."""
    assert engine.url.database is not None
    return _engine(engine.url.database, "BEGIN", "PRAGMA query_only=ON")


def _engine(path: str, begin: str, *settings: str) -> Engine:
    """An engine over one connection. begin: what starts a transaction. settings: of each connection that is made."""

    def connect() -> sqlite3.Connection:
        # Never makes a file: one that is gone is not replaced by an empty one behind everybody's back.
        where = f"file:{quote(os.path.abspath(path))}?mode=rw"
        connection = sqlite3.connect(where, uri=True, timeout=BUSY_TIMEOUT, check_same_thread=False)
        # The driver's own transaction control begins too late for savepoints; on_begin does it.
        connection.isolation_level = None
        try:
            for setting in settings:
                connection.execute(setting)
        except sqlite3.Error:
            connection.close()
            raise
        return connection

    def on_begin(connection: Connection) -> None:
        connection.exec_driver_sql(begin)

    engine = create_engine(URL.create("sqlite", database=path), poolclass=StaticPool, creator=connect)
    event.listen(engine, "begin", on_begin)
    return engine


def _create(path: Path) -> None:
    """An empty file that its owner alone can read: SQLite gives the files beside it the same rights."""
    try:
        os.close(os.open(path, os.O_CREAT | os.O_RDWR | os.O_CLOEXEC, 0o600))
    except OSError as error:
        raise StorageError(f"{path} can't be opened: {error.strerror}") from error


def _check(path: Path) -> None:
    """Refuse a file that is not a sound database, or can't be read, reading only."""
    if not path.exists() or path.stat().st_size == 0:
        return
    beside = [path.with_name(path.name + suffix) for suffix in ("-wal", "-shm")]
    made = [file for file in beside if not file.exists()]
    try:
        connection = sqlite3.connect(f"file:{quote(str(path))}?mode=ro", uri=True, timeout=BUSY_TIMEOUT)
        try:
            (verdict,) = connection.execute("PRAGMA quick_check(1)").fetchone()
        finally:
            connection.close()
    except sqlite3.OperationalError as error:
        # Locked, a folder, not readable: nothing is known against what it holds.
        raise StorageError(f"{path} can't be read: {error}") from error
    except sqlite3.DatabaseError as error:
        verdict = str(error)
    if verdict != "ok":
        for file in made:
            # Reading alone makes them, and reading alone leaves them.
            file.unlink(missing_ok=True)
        raise StorageError(
            f"{path} is damaged ({' '.join(verdict.split())}) and was left as it is. To recover what can be read: "
            f"sqlite3 {path} .recover | sqlite3 {path}.recovered, then put that file in its place; "
            f"or move {path} away to begin with no sessions"
        )


def _reason(error: SQLAlchemyError) -> str:
    return str(getattr(error, "orig", None) or error).splitlines()[0]
