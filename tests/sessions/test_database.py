"""Opening the database: what is set, what is refused, and that a refused file is left as it is."""

from __future__ import annotations

import os
import sqlite3
import stat
from pathlib import Path

import pytest
from sqlalchemy import Engine, inspect, text

from app.sessions import database
from app.sessions.database import StorageError, open_database, sqlite_path
from app.sessions.migrations import STEPS
from app.sessions.tables import metadata


def refusal(url: str) -> str:
    """The one line that refuses a database."""
    with pytest.raises(StorageError) as refused:
        open_database(url)
    message = str(refused.value)
    assert "\n" not in message
    return message


def written(path: Path) -> bytes:
    """A database that held sessions, closed in order; its bytes."""
    engine = open_database(f"sqlite:///{path}")
    with engine.begin() as connection:
        connection.execute(text("INSERT INTO sessions VALUES (1, 'k', 'main', 'id', 0, 1.0, 2.0, NULL, NULL)"))
        connection.execute(text("CREATE TABLE filler (x)"))
        connection.execute(text("INSERT INTO filler VALUES (:x)"), [{"x": "y" * 1000} for _ in range(100)])
    engine.dispose()
    return path.read_bytes()


def test_a_new_database_has_all_tables(engine: Engine) -> None:
    """The steps build everything from nothing, and the version says so."""
    assert set(metadata.tables) <= set(inspect(engine).get_table_names())
    with engine.begin() as connection:
        assert connection.execute(text("SELECT version FROM openclaw_schema")).scalars().all() == [len(STEPS)]


def test_a_database_is_opened_again(path: Path) -> None:
    """A second start changes nothing and loses nothing."""
    written(path)
    engine = open_database(f"sqlite:///{path}")
    with engine.begin() as connection:
        assert connection.execute(text("SELECT key FROM sessions")).scalars().all() == ["k"]
        assert connection.execute(text("SELECT version FROM openclaw_schema")).scalars().all() == [len(STEPS)]
    engine.dispose()


def test_an_empty_file_is_a_new_database(path: Path) -> None:
    """A file without a byte, as an interrupted first start leaves it, is filled."""
    path.touch()
    open_database(f"sqlite:///{path}").dispose()
    assert path.stat().st_size > 0


@pytest.mark.parametrize(("pragma", "value"), [("journal_mode", "wal"), ("synchronous", 2), ("foreign_keys", 1)])
def test_what_is_promised_is_in_force(engine: Engine, pragma: str, value: object) -> None:
    """WAL, and ``synchronous=FULL``, without which a loss of power takes acknowledged turns."""
    with engine.begin() as connection:
        assert connection.exec_driver_sql(f"PRAGMA {pragma}").scalar_one() == value


def test_it_is_in_force_on_each_new_connection(engine: Engine) -> None:
    """A connection that is made anew has the same settings."""
    engine.dispose()
    with engine.begin() as connection:
        assert connection.exec_driver_sql("PRAGMA synchronous").scalar_one() == 2


def test_a_transaction_asks_for_the_lock_at_once(engine: Engine, path: Path) -> None:
    """From its beginning no other process can write, so that reading first and writing later never fails."""
    other = sqlite3.connect(path, timeout=0, isolation_level=None)
    with engine.begin(), pytest.raises(sqlite3.OperationalError, match="locked"):
        other.execute("BEGIN IMMEDIATE")
    other.close()


def test_only_the_owner_can_read_it(engine: Engine, path: Path) -> None:
    """What people wrote to their agents is nobody else's to read."""
    assert stat.S_IMODE(path.stat().st_mode) == 0o600


def test_a_newer_database_is_refused(path: Path) -> None:
    """A database of a later version isn't touched by an older gateway."""
    written(path)
    connection = sqlite3.connect(path)
    connection.execute("UPDATE openclaw_schema SET version = ?", (len(STEPS) + 1,))
    connection.commit()
    connection.close()
    before = path.read_bytes()
    message = refusal(f"sqlite:///{path}")
    assert str(path) in message
    assert "later version" in message
    assert path.read_bytes() == before


def damages(data: bytes) -> dict[str, bytes]:
    page = 4096
    return {
        "overwritten page": data[:page] + b"\x55" * page + data[2 * page :],
        "overwritten all but the first page": data[:page] + b"\x55" * (len(data) - page),
        "truncated": data[: len(data) // 2],
        "not a database": b"this is not a database, but a text of some length" * 100,
        "zeroes": bytes(len(data)),
        "header of nothing": data[:100],
    }


@pytest.mark.parametrize("damage", damages(b""))
def test_a_damaged_database_is_refused_and_left_as_it_is(path: Path, damage: str) -> None:
    """The message says which file and how to recover; no byte changes and no file appears beside it."""
    damaged = damages(written(path))[damage]
    path.write_bytes(damaged)
    message = refusal(f"sqlite:///{path}")
    assert f"{path} is damaged" in message
    assert ".recover" in message
    assert path.read_bytes() == damaged
    assert os.listdir(path.parent) == [path.name]


def test_a_locked_database_is_not_called_damaged(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A backup that holds the file for long must not make anybody move it away."""
    monkeypatch.setattr(database, "BUSY_TIMEOUT", 0.05)
    other = sqlite3.connect(path, isolation_level=None)
    other.execute("CREATE TABLE t (x)")
    other.execute("BEGIN EXCLUSIVE")
    message = refusal(f"sqlite:///{path}")
    other.close()
    assert "locked" in message
    assert "damaged" not in message


def test_a_writer_does_not_stop_a_start(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where nothing is to be migrated, a start or a reload waits for no lock of another process."""
    written(path)
    monkeypatch.setattr(database, "BUSY_TIMEOUT", 0.05)
    other = sqlite3.connect(path, isolation_level=None)
    other.execute("BEGIN IMMEDIATE")
    open_database(f"sqlite:///{path}").dispose()
    other.execute("ROLLBACK")
    other.close()


def test_a_writer_in_between_is_waited_for(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A migration that meets another process's write lock past its patience says so."""
    path.touch()
    monkeypatch.setattr(database, "BUSY_TIMEOUT", 0.05)
    other = sqlite3.connect(path, isolation_level=None)
    other.execute("BEGIN IMMEDIATE")
    assert "locked" in refusal(f"sqlite:///{path}")
    other.execute("ROLLBACK")
    other.close()
    open_database(f"sqlite:///{path}").dispose()


def test_a_folder_is_not_called_damaged(tmp_path: Path) -> None:
    """Something else in the place of the file is named for what it is: unreadable."""
    message = refusal(f"sqlite:///{tmp_path}")
    assert str(tmp_path) in message
    assert "damaged" not in message


def test_a_missing_folder_is_said(tmp_path: Path) -> None:
    """A path that can't be created is refused with its reason."""
    message = refusal(f"sqlite:///{tmp_path}/no/such/folder/x.sqlite3")
    assert "no/such/folder" in message
    assert "No such file or directory" in message


def test_only_its_owner_reads_it(tmp_path: Path) -> None:
    """The database and what SQLite keeps beside it are 0600 from their first moment, whatever the umask."""
    before = os.umask(0)
    try:
        engine = open_database(f"sqlite:///{tmp_path}/x.sqlite3")
        modes = {path.name: path.stat().st_mode & 0o777 for path in tmp_path.iterdir()}
        engine.dispose()
    finally:
        os.umask(before)
    assert modes == {"x.sqlite3": 0o600, "x.sqlite3-wal": 0o600, "x.sqlite3-shm": 0o600}


@pytest.mark.parametrize("name", ["a b.sqlite3", "a#b.sqlite3", "ä☃.sqlite3", "a?b%20c"])
def test_unusual_names(tmp_path: Path, name: str) -> None:
    """The file that the URL names is the one that is used, checked and opened alike."""
    for _ in range(2):
        open_database(f"sqlite:///{tmp_path}/{name}").dispose()
    assert os.listdir(tmp_path) == [name]


def test_another_database_is_refused() -> None:
    """A URL of a database that this version doesn't speak is refused without its password."""
    message = refusal("postgresql+psycopg://user:hunter22@db/gateway")
    assert "postgresql" in message
    assert "hunter22" not in message


def test_which_file_a_url_means() -> None:
    """Three slashes for a relative path, four for an absolute one; another database has no file."""
    assert sqlite_path("sqlite:///a/b.sqlite3") == Path("a/b.sqlite3")
    assert sqlite_path("sqlite:////a/b.sqlite3") == Path("/a/b.sqlite3")
    assert sqlite_path("postgresql://db/gateway") is None
