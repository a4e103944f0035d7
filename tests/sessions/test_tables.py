"""The tables and the steps that build them."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import gevent
import pytest
from sqlalchemy import Connection, Engine, create_engine, inspect, text
from sqlalchemy.pool import StaticPool

from app.sessions import migrations, tables
from app.sessions.database import open_database
from app.sessions.history import PastTurn
from app.sessions.migrations import STEPS, NewerDatabase, migrate
from app.sessions.store import History, SessionStore
from app.sessions.tables import metadata


@pytest.fixture
def empty() -> Iterator[Engine]:
    engine = create_engine("sqlite://", poolclass=StaticPool)
    yield engine
    engine.dispose()


def shape(connection: Connection) -> dict[str, Any]:
    """Every table with its columns, keys and indexes."""
    seen = inspect(connection)
    return {
        table: {
            "columns": [
                (column["name"], str(column["type"]), column["nullable"], column["default"], column["primary_key"])
                for column in seen.get_columns(table)
            ],
            "indexes": sorted((str(index["name"]), *index["column_names"]) for index in seen.get_indexes(table)),
            "unique": sorted(tuple(unique["column_names"]) for unique in seen.get_unique_constraints(table)),
        }
        for table in seen.get_table_names()
    }


def version(connection: Connection) -> int:
    number: int = connection.execute(text("SELECT version FROM openclaw_schema")).scalar_one()
    return number


def test_the_steps_build_what_the_queries_use(empty: Engine) -> None:
    """A database that went through all steps has the very shape that the tables describe."""
    with empty.begin() as connection:
        migrate(connection)
        migrated = shape(connection)
    described = create_engine("sqlite://", poolclass=StaticPool)
    with described.begin() as connection:
        metadata.create_all(connection)
        assert migrated == shape(connection)
    described.dispose()


def test_migrating_again_does_nothing(empty: Engine) -> None:
    """Steps that were done are not done again."""
    with empty.begin() as connection:
        migrate(connection)
        before = shape(connection)
        migrate(connection)
        assert (shape(connection), version(connection)) == (before, len(STEPS))


def test_only_missing_steps_are_done_in_order(empty: Engine, monkeypatch: pytest.MonkeyPatch) -> None:
    """A database of an earlier version gets the later steps, each once."""
    done: list[str] = []
    with empty.begin() as connection:
        migrate(connection)
        later = (*STEPS, lambda _: done.append("second"), lambda _: done.append("third"))
        monkeypatch.setattr(migrations, "STEPS", later)
        migrate(connection)
        migrate(connection)
        assert version(connection) == len(later)
    assert done == ["second", "third"]


# The tables that the first released version made, and what it stored in them.
FIRST_VERSION = """
CREATE TABLE openclaw_schema (version INTEGER NOT NULL);
CREATE TABLE sessions (
    id INTEGER NOT NULL, key VARCHAR(512) NOT NULL, agent_id VARCHAR(64) NOT NULL, session_id VARCHAR(36) NOT NULL,
    first_turn INTEGER DEFAULT '0' NOT NULL, created_at FLOAT NOT NULL, updated_at FLOAT NOT NULL,
    PRIMARY KEY (id), UNIQUE (key)
);
CREATE INDEX ix_sessions_updated_at ON sessions (updated_at);
CREATE TABLE turns (
    id INTEGER NOT NULL, session INTEGER NOT NULL, run_id VARCHAR(64) NOT NULL, status VARCHAR(16) NOT NULL,
    error TEXT, model TEXT, prompt_tokens INTEGER NOT NULL, completion_tokens INTEGER NOT NULL,
    cached_tokens INTEGER NOT NULL, channel TEXT, started_at FLOAT NOT NULL, ended_at FLOAT NOT NULL,
    PRIMARY KEY (id), UNIQUE (run_id)
);
CREATE INDEX turns_of_session ON turns (session, id);
CREATE TABLE messages (
    turn INTEGER NOT NULL, position INTEGER NOT NULL, role VARCHAR(16) NOT NULL, body BLOB NOT NULL,
    PRIMARY KEY (turn, position)
);
INSERT INTO openclaw_schema VALUES (1);
INSERT INTO sessions VALUES (1, 'agent:main:a', 'main', '0-0', 0, 99.0, 100.0);
INSERT INTO turns VALUES (7, 1, 'run', 'done', NULL, 'p/m', 3, 2, 1, NULL, 99.0, 100.0);
INSERT INTO messages VALUES (7, 0, 'user', CAST('{"role":"user","content":"hi"}' AS BLOB));
INSERT INTO messages VALUES (7, 1, 'assistant', CAST('{"role":"assistant","content":"ho"}' AS BLOB));
"""


def test_a_database_of_the_first_version_is_brought_here_with_its_sessions(path: Path, empty: Engine) -> None:
    """What the first version stored is read after the migration, and summaries can be kept beside it."""
    connection = sqlite3.connect(path)
    connection.executescript(FIRST_VERSION)
    connection.close()
    engine = open_database(f"sqlite:///{path}")
    with engine.begin() as migrated, empty.begin() as anew:
        migrate(anew)
        assert version(migrated) == len(STEPS)
        assert shape(migrated) == shape(anew)
    with gevent.Timeout(10):
        store = SessionStore(engine)
        turn = PastTurn(7, [{"role": "user", "content": "hi"}, {"role": "assistant", "content": "ho"}])
        assert store.history("agent:main:a") == History("", [turn])
        store.summarise("agent:main:a", 7, "greetings")
        assert store.history("agent:main:a") == History("greetings", [])
        store.close()


# What the second version added.
SECOND_VERSION = (
    FIRST_VERSION
    + """
CREATE TABLE summaries (
    id INTEGER NOT NULL, session INTEGER NOT NULL, through_turn INTEGER NOT NULL, body BLOB NOT NULL,
    created_at FLOAT NOT NULL, PRIMARY KEY (id)
);
CREATE INDEX ix_summaries_session ON summaries (session);
CREATE TABLE answers (
    key VARCHAR(64) NOT NULL, request VARCHAR(64) NOT NULL, headers BLOB NOT NULL, body BLOB NOT NULL,
    created_at FLOAT NOT NULL, PRIMARY KEY (key)
);
CREATE INDEX ix_answers_created_at ON answers (created_at);
UPDATE openclaw_schema SET version = 2;
INSERT INTO summaries VALUES (1, 1, 7, CAST('greetings' AS BLOB), 101.0);
"""
)


def test_a_database_of_the_second_version_is_brought_here_with_its_sessions(path: Path, empty: Engine) -> None:
    """Its sessions go on: they have no label and no model of their own until somebody gives them one."""
    connection = sqlite3.connect(path)
    connection.executescript(SECOND_VERSION)
    connection.close()
    engine = open_database(f"sqlite:///{path}")
    with engine.begin() as migrated, empty.begin() as anew:
        migrate(anew)
        assert version(migrated) == len(STEPS)
        assert shape(migrated) == shape(anew)
    with gevent.Timeout(10):
        store = SessionStore(engine)
        assert store.history("agent:main:a") == History("greetings", [], None)
        info = store.patch("agent:main:a", "main", {"label": "old friend", "model": "p/other"})
        assert (info.session_id, info.turns, info.label) == ("0-0", 1, "old friend")
        assert store.history("agent:main:a").model == "p/other"
        store.close()


def test_the_first_step_makes_what_the_first_version_had(path: Path) -> None:
    """A released step is never changed: it still makes the tables that databases out there have."""
    connection = sqlite3.connect(path)
    connection.executescript(FIRST_VERSION)
    connection.close()
    released = create_engine(f"sqlite:///{path}")
    anew = create_engine("sqlite://", poolclass=StaticPool)
    with released.begin() as of_then, anew.begin() as of_now:
        tables.schema.create(of_now)
        STEPS[0](of_now)
        assert shape(of_now) == shape(of_then)
    released.dispose()
    anew.dispose()


def test_a_step_that_fails_leaves_the_old_version(empty: Engine, monkeypatch: pytest.MonkeyPatch) -> None:
    """The number of the version goes up only with all steps done."""
    with empty.begin() as connection:
        migrate(connection)

    def breaks(_: Connection) -> None:
        raise ValueError("no")

    monkeypatch.setattr(migrations, "STEPS", (*STEPS, breaks))
    with pytest.raises(ValueError, match="no"), empty.begin() as connection:
        migrate(connection)
    with empty.begin() as connection:
        assert version(connection) == len(STEPS)


def test_a_later_version_is_refused(empty: Engine) -> None:
    """A database that knows more steps than this gateway raises, with both numbers."""
    with empty.begin() as connection:
        migrate(connection)
        connection.execute(text("UPDATE openclaw_schema SET version = 99"))
        with pytest.raises(NewerDatabase, match=f"99.*{len(STEPS)}"):
            migrate(connection)


def test_message_bodies_are_bytes() -> None:
    """Message JSON may hold a NUL, which text columns of other databases refuse."""
    assert tables.messages.c.body.type.python_type is bytes
