"""The database: sound, of a version that is known here, and with room to grow."""

from __future__ import annotations

import os
import shutil
import sqlite3
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import quote

from app.cli.doctor.finding import FAIL, OK, WARN, Finding, Installation
from app.cli.screen import size
from app.config.settings import sqlite_path
from app.sessions.migrations import STEPS

# Bytes free beside it: few enough to fail soon, and to think about.
TOO_LITTLE, LITTLE = 100 * 1024 * 1024, 1024 * 1024 * 1024
# Seconds to wait for a process that holds the lock.
PATIENCE = 5


def database(installation: Installation) -> Iterator[Finding]:
    """It opens, is not damaged, and this gateway knows its version."""
    settings = installation.settings
    if settings is None:
        return
    path = sqlite_path(settings.storage_url)
    if path is None:
        yield Finding("database", FAIL, "storage.url is not supported by this version: use sqlite:///PATH")
    elif not os.path.exists(path):
        yield Finding("database", OK, f"{path} is made by the first start")
    else:
        yield _examined(path)


def disk(installation: Installation) -> Iterator[Finding]:
    """There is room for what will be said."""
    folder = installation.environment.state_dir
    path = sqlite_path(installation.settings.storage_url) if installation.settings else None
    if path is not None and os.path.exists(path.parent):
        folder = path.parent
    if not os.path.exists(folder):
        return
    free = shutil.disk_usage(folder).free
    status = FAIL if free < TOO_LITTLE else WARN if free < LITTLE else OK
    remedy = "" if status == OK else ": make room, or move the state folder (OPENCLAW_STATE_DIR)"
    yield Finding("disk", status, f"{size(free)} free in {folder}{remedy}")


def _examined(path: Path) -> Finding:
    # Reading a database that nobody has open would make files beside it, unless it is told that nothing changes.
    still = "" if path.with_name(f"{path.name}-wal").exists() else "&immutable=1"
    try:
        connection = sqlite3.connect(f"file:{quote(str(path))}?mode=ro{still}", uri=True, timeout=PATIENCE)
        try:
            (verdict,) = connection.execute("PRAGMA quick_check(1)").fetchone()
            version = _version(connection) if verdict == "ok" else 0
        finally:
            connection.close()
    except sqlite3.OperationalError as error:
        return Finding("database", FAIL, f"{path} can't be read: {error}; is it another program's, or locked by one?")
    except sqlite3.DatabaseError as error:
        verdict, version = str(error), 0
    if verdict != "ok":
        remedy = f"restore a copy, or `sqlite3 {path} .recover`"
        return Finding("database", FAIL, f"{path} is damaged ({' '.join(verdict.split())}): {remedy}")
    told = f"{path} is sound, {size(path.stat().st_size)}"
    if version > len(STEPS):
        return Finding("database", FAIL, f"{path} was written by a later version of the gateway: update this one")
    if version < len(STEPS):
        return Finding("database", OK, f"{told}; the next start brings it from version {version} to {len(STEPS)}")
    return Finding("database", OK, f"{told}, version {version}")


def _version(connection: sqlite3.Connection) -> int:
    """0 for a database that the gateway has not written yet."""
    named = connection.execute("SELECT 1 FROM sqlite_master WHERE name = 'openclaw_schema'").fetchone()
    if named is None:
        return 0
    row = connection.execute("SELECT version FROM openclaw_schema").fetchone()
    return int(row[0]) if row else 0
