"""Turns to store, and what is read of them."""

from __future__ import annotations

from typing import Any

from app.providers.stream import Usage
from app.sessions.store import DONE, SessionStore, TurnRecord


def user(text: str) -> dict[str, Any]:
    return {"role": "user", "content": text}


def assistant(text: str) -> dict[str, Any]:
    return {"role": "assistant", "content": text}


_runs = iter(range(1_000_000))


def turn(
    *messages: dict[str, Any], key: str = "k", status: str = DONE, at: float = 1000.0, **fields: Any
) -> TurnRecord:
    """A turn that ended ``at`` Unix seconds; ``fields`` of TurnRecord may be given, too."""
    known: dict[str, Any] = {
        "key": key,
        "agent_id": "main",
        "run_id": f"run-{next(_runs)}",
        "status": status,
        "messages": messages or (user("hi"), assistant("hello")),
        "usage": Usage(3, 2, 1),
        "model": "p/m",
        "started_at": at - 1,
        "ended_at": at,
    }
    return TurnRecord(**known | fields)


def messages(store: SessionStore, key: str = "k", since: float = 0.0, **options: Any) -> list[dict[str, Any]]:
    """A session's history without the bounds of its turns."""
    return [message for turn in store.history(key, since, **options).turns for message in turn.messages]
