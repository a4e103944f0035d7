"""What is told of a database that can't be used."""

from __future__ import annotations

import errno
import os
import sqlite3
from pathlib import Path

import pytest
from sqlalchemy.exc import OperationalError

from app.sessions.faults import Files, StorageFault, fault_of


def raised(name: str) -> sqlite3.OperationalError:
    error = sqlite3.OperationalError("what SQLite says")
    error.sqlite_errorcode = getattr(sqlite3, name)
    return error


@pytest.mark.parametrize(
    ("name", "reason"),
    [
        ("SQLITE_BUSY", "another program holds the database"),
        ("SQLITE_BUSY_SNAPSHOT", "another program holds the database"),
        ("SQLITE_LOCKED", "another program holds the database"),
        ("SQLITE_FULL", "the disk is full"),
        ("SQLITE_IOERR_WRITE", "the disk can't be read or written"),
        ("SQLITE_IOERR_FSYNC", "the disk can't be read or written"),
        ("SQLITE_READONLY", "the database may not be written"),
        ("SQLITE_READONLY_DBMOVED", "the database may not be written"),
        ("SQLITE_CANTOPEN", "the database can't be opened"),
        ("SQLITE_CORRUPT", "the database is damaged"),
        ("SQLITE_NOTADB", "the database is damaged"),
        ("SQLITE_NOMEM", "the memory is full"),
    ],
)
def test_faults_of_sqlite(name: str, reason: str) -> None:
    """Each kind has its words, also where SQLite says more exactly what it was, wrapped or not."""
    for error in (raised(name), OperationalError("SELECT secret", {"a": "secret"}, raised(name))):
        fault = fault_of(error)
        assert fault is not None
        assert fault.reason == reason
        assert reason in fault.told().message
        assert "secret" not in str(fault)


@pytest.mark.parametrize("error", [raised("SQLITE_ERROR"), raised("SQLITE_CONSTRAINT"), ValueError("no")])
def test_mistakes_are_none(error: Exception) -> None:
    """What was asked wrongly is not the storage's fault, and trying again would not help."""
    assert fault_of(error) is None


@pytest.mark.parametrize(("number", "reason"), [(errno.ENOSPC, "the disk is full"), (errno.EIO, "the disk can't be")])
def test_faults_of_the_system(number: int, reason: str) -> None:
    """Where a file beside it can't be written either."""
    fault = fault_of(OSError(number, os.strerror(number)))
    assert fault is not None
    assert fault.reason.startswith(reason)


def test_files_are_known_again(tmp_path: Path) -> None:
    """The same files pass, also after they were away; others don't, and a missing one is said to be gone."""
    path = tmp_path / "x"
    path.touch()
    files = Files.at(str(path))
    files.check(str(path))
    path.rename(tmp_path / "away")
    with pytest.raises(StorageFault, match="gone"):
        files.check(str(path))
    path.touch()
    with pytest.raises(StorageFault, match="replaced"):
        files.check(str(path))
    (tmp_path / "away").rename(path)
    files.check(str(path))
