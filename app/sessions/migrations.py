"""The numbered steps that bring a database to the tables of today.

A released step is never changed: a new shape is a new step, and a step that later ones change has its own copy of the
tables that it made. ``openclaw_schema`` holds the number of the last one done.
"""

from __future__ import annotations

from collections.abc import Callable

from sqlalchemy import (
    BigInteger,
    Column,
    Connection,
    Float,
    Index,
    Integer,
    LargeBinary,
    MetaData,
    String,
    Table,
    Text,
    insert,
    inspect,
    select,
    update,
)

from app.sessions.tables import answers, metadata, schema, summaries

_Id = BigInteger().with_variant(Integer, "sqlite")


def _first(connection: Connection) -> None:
    then = MetaData()
    Table(
        "sessions",
        then,
        Column("id", _Id, primary_key=True),
        Column("key", String(512), nullable=False, unique=True),
        Column("agent_id", String(64), nullable=False),
        Column("session_id", String(36), nullable=False),
        Column("first_turn", _Id, nullable=False, server_default="0"),
        Column("created_at", Float, nullable=False),
        Column("updated_at", Float, nullable=False, index=True),
    )
    Table(
        "turns",
        then,
        Column("id", _Id, primary_key=True),
        Column("session", _Id, nullable=False),
        Column("run_id", String(64), nullable=False, unique=True),
        Column("status", String(16), nullable=False),
        Column("error", Text),
        Column("model", Text),
        Column("prompt_tokens", Integer, nullable=False),
        Column("completion_tokens", Integer, nullable=False),
        Column("cached_tokens", Integer, nullable=False),
        Column("channel", Text),
        Column("started_at", Float, nullable=False),
        Column("ended_at", Float, nullable=False),
        Index("turns_of_session", "session", "id"),
    )
    Table(
        "messages",
        then,
        Column("turn", _Id, primary_key=True),
        Column("position", Integer, primary_key=True),
        Column("role", String(16), nullable=False),
        Column("body", LargeBinary, nullable=False),
    )
    then.create_all(connection)


def _second(connection: Connection) -> None:
    # As the tables are today. The first step that changes one brings a copy here, so that this stays what it was.
    metadata.create_all(connection, tables=[summaries, answers])


def _third(connection: Connection) -> None:
    for column in ("label", "model"):
        connection.exec_driver_sql(f"ALTER TABLE sessions ADD COLUMN {column} TEXT")
    if connection.dialect.name == "postgresql":
        connection.exec_driver_sql("ALTER TABLE turns ALTER COLUMN run_id TYPE VARCHAR(256)")


STEPS: tuple[Callable[[Connection], None], ...] = (_first, _second, _third)


class NewerDatabase(Exception):
    """The database was written by a later version of the gateway."""


def is_current(connection: Connection) -> bool:
    """Whether ``migrate`` would do nothing."""
    if not inspect(connection).has_table(schema.name):
        return False
    return connection.execute(select(schema.c.version)).scalar() == len(STEPS)


def migrate(connection: Connection) -> None:
    """Bring the database to this version, in the caller's transaction. Raises NewerDatabase."""
    if not inspect(connection).has_table(schema.name):
        schema.create(connection)
        connection.execute(insert(schema).values(version=0))
    version = connection.execute(select(schema.c.version)).scalar_one()
    if version > len(STEPS):
        raise NewerDatabase(f"its version is {version}, this gateway knows {len(STEPS)}")
    for step in STEPS[version:]:
        step(connection)
    if version < len(STEPS):
        connection.execute(update(schema).values(version=len(STEPS)))
