"""Opening the database: its settings, and the checks that stop a start before anything is touched."""

from __future__ import annotations

import os
import sqlite3
from pathlib import Path
from urllib.parse import quote

from sqlalchemy import URL, Engine, create_engine, event
from sqlalchemy.engine import make_url
from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.pool import StaticPool

from app.sessions.tables import NewerDatabase, migrate

# Seconds to wait for another process (a CLI run, a backup) that holds the write lock.
BUSY_TIMEOUT = 10


class StorageError(Exception):
    """The database can't be used; the message is one line that says which file and what to do."""


def open_database(url: str) -> Engine:
    """An engine over one connection, checked and migrated. Raises StorageError."""
    path = sqlite_path(url)
    if path is None:
        raise StorageError(
            f"storage.url: {make_url(url).get_backend_name()} is not supported by this version; use sqlite:///PATH"
        )
    _check(path)
    engine = create_engine(
        URL.create("sqlite", database=str(path)),
        poolclass=StaticPool,
        connect_args={"check_same_thread": False, "timeout": BUSY_TIMEOUT},
    )
    event.listen(engine, "connect", _on_connect)
    event.listen(engine, "begin", _on_begin)
    try:
        with engine.begin() as connection:
            migrate(connection)
    except NewerDatabase as error:
        raise StorageError(f"{path} was written by a later version ({error}); update the gateway") from error
    except SQLAlchemyError as error:
        raise StorageError(f"{path}: {_reason(error)}; check the free space and the rights of its folder") from error
    os.chmod(path, 0o600)
    return engine


def sqlite_path(url: str) -> Path | None:
    """The file of a ``sqlite:///`` URL, None for another database."""
    parsed = make_url(url)
    return Path(parsed.database or "") if parsed.get_backend_name() == "sqlite" else None


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


def _on_connect(connection: sqlite3.Connection, _record: object) -> None:
    # The driver's own transaction control begins too late for savepoints; _on_begin does it.
    connection.isolation_level = None
    cursor = connection.cursor()
    cursor.execute("PRAGMA journal_mode=WAL")
    # NORMAL would survive the death of the process, only FULL survives a loss of power.
    cursor.execute("PRAGMA synchronous=FULL")
    cursor.execute("PRAGMA foreign_keys=ON")
    cursor.close()


def _on_begin(connection) -> None:  # type: ignore[no-untyped-def]
    # A transaction that reads first and writes later can't wait for another process's write; one that asks at once can.
    connection.exec_driver_sql("BEGIN IMMEDIATE")


def _reason(error: SQLAlchemyError) -> str:
    return str(getattr(error, "orig", None) or error).splitlines()[0]
