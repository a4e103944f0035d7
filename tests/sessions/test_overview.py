"""How many sessions each agent has."""

from __future__ import annotations

from app.sessions.overview import AgentSessions, Recent
from app.sessions.store import SessionStore


def test_sessions_are_counted_by_agent(store: SessionStore) -> None:
    """The latest come first, only so many of each, and agents without sessions are not there."""
    assert store.overview(2) == {}
    for agent, key in (("a", "a1"), ("b", "b1"), ("a", "a2"), ("a", "a3")):
        store.create(key, agent)
    times = {key: info.updated_at for key in ("a2", "a3", "b1") if (info := store.info(key))}
    assert store.overview(2) == {
        "a": AgentSessions(3, [Recent("a3", times["a3"]), Recent("a2", times["a2"])]),
        "b": AgentSessions(1, [Recent("b1", times["b1"])]),
    }
