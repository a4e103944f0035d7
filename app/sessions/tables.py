"""The tables, and the numbered steps that bring a database to them.

A released step is never changed: a new shape is a new step. ``openclaw_schema`` holds the number of the last one done.
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

metadata = MetaData()
# SQLite numbers rows by itself only when the column is called INTEGER.
_Id = BigInteger().with_variant(Integer, "sqlite")

schema = Table("openclaw_schema", metadata, Column("version", Integer, nullable=False))

# first_turn: turns before it are on record but not in the history any more (an idle session that began anew).
sessions = Table(
    "sessions",
    metadata,
    Column("id", _Id, primary_key=True),
    Column("key", String(512), nullable=False, unique=True),
    Column("agent_id", String(64), nullable=False),
    Column("session_id", String(36), nullable=False),
    Column("first_turn", _Id, nullable=False, server_default="0"),
    Column("created_at", Float, nullable=False),
    Column("updated_at", Float, nullable=False, index=True),
)

# status: done | interrupted | failed. Only failed turns are left out of the history. Times are Unix seconds.
turns = Table(
    "turns",
    metadata,
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

# body: the message as JSON. Bytes, because PostgreSQL's text and jsonb refuse the NUL that a message may hold.
messages = Table(
    "messages",
    metadata,
    Column("turn", _Id, primary_key=True),
    Column("position", Integer, primary_key=True),
    Column("role", String(16), nullable=False),
    Column("body", LargeBinary, nullable=False),
)

# What the model wrote down of a session's turns up to through_turn, so that its history fits a model's window.
# The turns themselves stay. The latest one counts.
summaries = Table(
    "summaries",
    metadata,
    Column("id", _Id, primary_key=True),
    Column("session", _Id, nullable=False, index=True),
    Column("through_turn", _Id, nullable=False),
    Column("body", LargeBinary, nullable=False),
    Column("created_at", Float, nullable=False),
)

# Answers kept for callers that send a request again with its Idempotency-Key.
# key: digest of caller, route and key. request: digest of what was asked.
answers = Table(
    "answers",
    metadata,
    Column("key", String(64), primary_key=True),
    Column("request", String(64), nullable=False),
    Column("headers", LargeBinary, nullable=False),
    Column("body", LargeBinary, nullable=False),
    Column("created_at", Float, nullable=False, index=True),
)


def _first(connection: Connection) -> None:
    # As the tables are today. The first step that changes one brings a copy here, so that this stays what it was.
    metadata.create_all(connection, tables=[sessions, turns, messages])


def _second(connection: Connection) -> None:
    metadata.create_all(connection, tables=[summaries, answers])


STEPS: tuple[Callable[[Connection], None], ...] = (_first, _second)


class NewerDatabase(Exception):
    """The database was written by a later version of the gateway."""


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
