"""The sections of a document that have an agent's keys."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from app.config.faults import KeyPath


def owners(document: Mapping[str, Any]) -> Iterator[tuple[KeyPath, Any]]:
    """(path, section) of the agents' defaults and of each agent; what is no object is left out."""
    agents = document.get("agents")
    if not isinstance(agents, Mapping):
        return
    found: list[tuple[KeyPath, Any]] = [(("agents", "defaults"), agents.get("defaults"))]
    if isinstance(listed := agents.get("list"), list):
        found += [(("agents", "list", index), agent) for index, agent in enumerate(listed)]
    if isinstance(entries := agents.get("entries"), Mapping):
        found += [(("agents", "entries", name), agent) for name, agent in entries.items()]
    yield from ((path, owner) for path, owner in found if isinstance(owner, Mapping))
