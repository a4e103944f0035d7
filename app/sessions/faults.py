"""What keeps the database from being used, told from mistakes in what it is asked."""

from __future__ import annotations

import errno
import os
import sqlite3
from pathlib import Path
from typing import NamedTuple

from sqlalchemy.exc import DBAPIError

from app.errors import StorageUnavailable

# By SQLite's primary result code (https://www.sqlite.org/rescode.html).
_REASONS = {
    sqlite3.SQLITE_BUSY: "another program holds the database",
    sqlite3.SQLITE_LOCKED: "another program holds the database",
    sqlite3.SQLITE_PROTOCOL: "another program holds the database",
    sqlite3.SQLITE_FULL: "the disk is full",
    sqlite3.SQLITE_IOERR: "the disk can't be read or written",
    sqlite3.SQLITE_READONLY: "the database may not be written",
    sqlite3.SQLITE_PERM: "the database may not be written",
    sqlite3.SQLITE_CANTOPEN: "the database can't be opened",
    sqlite3.SQLITE_CORRUPT: "the database is damaged",
    sqlite3.SQLITE_NOTADB: "the database is damaged",
    sqlite3.SQLITE_NOMEM: "the memory is full",
}
_NO_ROOM = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)


class StorageFault(Exception):
    """The database can't be used now. reason: for everybody, names no file. The message says more, for the log.

    reopen: its files must be opened anew before it is tried again.
    """

    def __init__(self, reason: str, detail: object, *, reopen: bool = True) -> None:
        super().__init__(f"{reason} ({detail})")
        self.reason = reason
        self.reopen = reopen

    def told(self) -> StorageUnavailable:
        """As callers get it."""
        return StorageUnavailable(self.reason)


def fault_of(error: BaseException | None) -> StorageFault | None:
    """None for a mistake in what was asked."""
    while error is not None:
        if isinstance(error, StorageFault):
            return error
        if isinstance(error, OSError):
            reason = "the disk is full" if error.errno in _NO_ROOM else "the disk can't be read or written"
            return StorageFault(reason, error.strerror, reopen=False)
        cause = error.orig if isinstance(error, DBAPIError) else error
        # The lower byte is the kind, the rest says more of it.
        code = getattr(cause, "sqlite_errorcode", 0) & 0xFF
        if code in _REASONS:
            return StorageFault(_REASONS[code], cause, reopen=code != sqlite3.SQLITE_BUSY)
        # A full disk ends the transaction, and what is said of it is that its savepoint is not there any more.
        error = error.__context__
    return None


class Files(NamedTuple):
    """Which files a path names: device and inode of the database and of its log; None for one that is not there."""

    database: tuple[int, int] | None
    log: tuple[int, int] | None

    @classmethod
    def at(cls, path: str) -> Files:
        return cls(_identity(path), _identity(_log(path)))

    def check(self, path: str) -> None:
        """Raise StorageFault where ``path`` names other files by now than these, which are open.

        SQLite goes on with files that were deleted or replaced, and what it writes there is lost.
        """
        now = Files.at(path)
        if now.database is None:
            raise _gone(path)
        if now.database != self.database or self.log not in (None, now.log):
            raise StorageFault("the database file was replaced", path)

    def set_aside(self, path: str) -> None:
        """Move the log of a database that was replaced away: SQLite would write it into the new one.

        After the last connection is closed.
        """
        now = Files.at(path)
        if now.database not in (None, self.database) and now.log is not None and now.log == self.log:
            Path(_log(path)).rename(f"{path}-wal.replaced")
            Path(f"{path}-shm").unlink(missing_ok=True)


def check_exists(path: str) -> None:
    """Raise StorageFault."""
    if _identity(path) is None:
        raise _gone(path)


def _gone(path: str) -> StorageFault:
    return StorageFault("the database file is gone", path)


def _log(path: str) -> str:
    return f"{path}-wal"


def _identity(path: str) -> tuple[int, int] | None:
    try:
        found = os.stat(path)
    except FileNotFoundError:
        return None
    return found.st_dev, found.st_ino
