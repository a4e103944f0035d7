"""The tables and the steps that build them."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from sqlalchemy import Connection, Engine, create_engine, inspect, text
from sqlalchemy.pool import StaticPool

from app.sessions import tables
from app.sessions.tables import STEPS, NewerDatabase, metadata, migrate


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
        monkeypatch.setattr(tables, "STEPS", later)
        migrate(connection)
        migrate(connection)
        assert version(connection) == len(later)
    assert done == ["second", "third"]


def test_a_step_that_fails_leaves_the_old_version(empty: Engine, monkeypatch: pytest.MonkeyPatch) -> None:
    """The number of the version goes up only with all steps done."""
    with empty.begin() as connection:
        migrate(connection)

    def breaks(_: Connection) -> None:
        raise ValueError("no")

    monkeypatch.setattr(tables, "STEPS", (*STEPS, breaks))
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
