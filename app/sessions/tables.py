"""The tables as they are today; ``migrations`` brings a database to them."""

from __future__ import annotations

from sqlalchemy import BigInteger, Column, Float, Index, Integer, LargeBinary, MetaData, String, Table, Text

metadata = MetaData()
# SQLite numbers rows by itself only when the column is called INTEGER.
_Id = BigInteger().with_variant(Integer, "sqlite")
# A run's id, which a caller may choose. SQLite bounds no text, and its databases say 64 from the first version on.
_RunId = String(256).with_variant(String(64), "sqlite")

# version: the number of the last migration that was done.
schema = Table("openclaw_schema", metadata, Column("version", Integer, nullable=False))

# session_id: of what the session holds now; one that begins anew gets another.
# first_turn: turns before it are on record but not in the history any more (a session that began anew).
# label: the name that a user gave it. model: the provider/model that its turns ask instead of the agent's.
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
    Column("label", Text),
    Column("model", Text),
)

# What became of a turn. Only failed ones are left out of the history.
DONE, INTERRUPTED, FAILED = "done", "interrupted", "failed"

# status: one of the above. Times are Unix seconds.
turns = Table(
    "turns",
    metadata,
    Column("id", _Id, primary_key=True),
    Column("session", _Id, nullable=False),
    Column("run_id", _RunId, nullable=False, unique=True),
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
