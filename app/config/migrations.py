"""Keys that OpenClaw had under other names, read as the names of today.

Source: what the releases of 2026 migrate by themselves when they load an older file. Keys that they only remove are in
``openclaw_keys.txt`` with all others.

What restricts stays as strict: lists of what is denied are joined, and two values for one key are a fault.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator, Mapping
from types import MappingProxyType
from typing import Any

from app.config.faults import ABSENT, KeyPath, Report, dotted, shown, value_at
from app.config.owners import owners

Document = dict[str, Any]
Change = Callable[[Any], Any]


def _same(value: Any) -> Any:
    return value


def _opposite(value: Any) -> Any:
    return not value if isinstance(value, bool) else value


def _milliseconds(value: Any) -> Any:
    return round(value * 1000) if isinstance(value, int | float) and not isinstance(value, bool) else value


def _days(value: Any) -> Any:
    return f"{value}d" if isinstance(value, int) and not isinstance(value, bool) else value


# Old key, new key, and what becomes of its value. The order matters: what moved twice is moved twice.
_MOVES: tuple[tuple[KeyPath, KeyPath, Change], ...] = (
    (("agent", "tools", "allow"), ("tools", "allow"), _same),
    (("agent", "tools", "deny"), ("tools", "deny"), _same),
    (("agent", "elevated"), ("tools", "elevated"), _same),
    (("agent", "bash"), ("tools", "exec"), _same),
    (("agent", "sandbox", "tools"), ("tools", "sandbox", "tools"), _same),
    (("agent", "subagents", "tools"), ("tools", "subagents", "tools"), _same),
    (("routing", "agentToAgent"), ("tools", "agentToAgent"), _same),
    (("defaultModel",), ("agents", "defaults", "model"), _same),
    (("gateway", "token"), ("gateway", "auth", "token"), _same),
    (("session", "idleMinutes"), ("session", "reset", "idleMinutes"), _same),
    (("session", "maintenance", "pruneDays"), ("session", "maintenance", "pruneAfter"), _days),
    (("tools", "bash"), ("tools", "exec"), _same),
)
_SERVER_MOVES: tuple[tuple[str, str, Change], ...] = (
    ("disabled", "enabled", _opposite),
    ("timeout", "requestTimeoutMs", _milliseconds),
    ("workingDirectory", "cwd", _same),
)
_HOSTS: Mapping[str, str] = MappingProxyType(
    dict.fromkeys(("0.0.0.0", "::", "[::]", "*"), "lan")  # noqa: S104 - what they are read as
    | dict.fromkeys(("127.0.0.1", "localhost", "::1", "[::1]"), "loopback")
)


def migrated(document: Document, report: Report) -> Document:
    """A copy of the document with today's keys. What was moved is reported, as are contradictions."""
    if not isinstance(document, dict):
        return document
    moving = _Moving(copy.deepcopy(document), report)
    moving.agents()
    for old, new, change in _MOVES:
        moving.move(old, new, change)
    moving.drop_empty(("routing",))
    moving.defaults()
    for path in moving.each("mcp", "servers"):
        for name, newer, change in _SERVER_MOVES:
            moving.move((*path, name), (*path, newer), change)
    for path in (("tools", "exec"), *((*path, "tools", "exec") for path, _ in owners(moving.document))):
        moving.move((*path, "timeoutSec"), (*path, "timeoutSeconds"))
    moving.bind()
    return moving.document


class _Moving:
    def __init__(self, document: Document, report: Report) -> None:
        self.document = document
        self._report = report

    def at(self, path: KeyPath) -> Any:
        return value_at(self.document, path)

    def each(self, *section: str) -> Iterator[KeyPath]:
        """The paths of the objects in a section."""
        found = self.at(section)
        if isinstance(found, dict):
            yield from ((*section, name) for name in tuple(found) if isinstance(found[name], dict))

    def move(self, old: KeyPath, new: KeyPath, change: Change = _same) -> None:
        """Move what stands at ``old``, if something does, and say so."""
        value = self._take(old)
        if value is ABSENT:
            return
        self._report.move(old, new)
        self._put(new, change(value), old)

    def agents(self) -> None:
        """``routing``, of before agents had a section of their own."""
        routing = self.at(("routing", "agents"))
        if isinstance(routing, dict):
            for id in tuple(routing):
                self._agent(str(id))
        default = self._take(("routing", "defaultAgentId"))
        if isinstance(default, str):
            path = self._entry(default)
            self._report.move(("routing", "defaultAgentId"), (*path, "default"))
            self._put((*path, "default"), True, ("routing", "defaultAgentId"))
        self.drop_empty(("routing", "agents"))

    def defaults(self) -> None:
        """``agent``, of before there were several; what of it belongs elsewhere has been moved."""
        self._models()
        self.drop_empty(("agent", "tools"), ("agent", "sandbox"), ("agent", "subagents"))
        agent = self.at(("agent",))
        if isinstance(agent, dict):
            for name in tuple(agent):
                self.move(("agent", name), ("agents", "defaults", name))
        self.drop_empty(("agent",))
        auth = self.at(("gateway", "auth"))
        if self._report.origins.get(("gateway", "auth", "token")) and isinstance(auth, dict):
            auth.setdefault("mode", "token")

    def bind(self) -> None:
        bind = self.at(("gateway", "bind"))
        if isinstance(bind, str) and bind in _HOSTS:
            name = f'"{_HOSTS[bind]}"'
            self.document["gateway"]["bind"] = _HOSTS[bind]
            self._report.reread(("gateway", "bind"), f"gateway.bind {shown(bind)}", name, name)

    def _models(self) -> None:
        for name, plural in (("model", "modelFallbacks"), ("imageModel", "imageModelFallbacks")):
            if isinstance(self.at(("agent", name)), str):
                self.move(("agent", name), ("agents", "defaults", name, "primary"))
            self.move(("agent", plural), ("agents", "defaults", name, "fallbacks"))
        allowed = self._take(("agent", "allowedModels"))
        if isinstance(allowed, list):
            self._listed(("agent", "allowedModels"))
            for reference in allowed:
                self._put(("agents", "defaults", "models", str(reference)), {}, ("agent", "allowedModels"))
        elif allowed is not ABSENT:
            self._report.add(("agent", "allowedModels"), "a list of models")
        aliases = self._take(("agent", "modelAliases"))
        if isinstance(aliases, dict):
            self._listed(("agent", "modelAliases"))
            for alias, reference in aliases.items():
                path = ("agents", "defaults", "models", str(reference), "alias")
                self._put(path, alias, ("agent", "modelAliases"))

    def _listed(self, old: KeyPath) -> None:
        """Say that ``old`` is read as entries of models, whose names are values there."""
        self._report.reread(old, dotted(old), "agents.defaults.models", "agents.defaults.models")

    def _agent(self, id: str) -> None:
        path = self._entry(id)
        old: KeyPath = ("routing", "agents", id)
        self.move((*old, "sandbox", "tools"), (*path, "tools", "sandbox", "tools"))
        self.move((*old, "mentionPatterns"), (*path, "groupChat", "mentionPatterns"))
        self._report.move(old, path)
        agent = self._take(old)
        if isinstance(agent, dict):
            for name, value in agent.items():
                self._put((*path, name), value, (*old, name))
        elif agent is not ABSENT:
            self._put(path, agent, old)

    def _entry(self, id: str) -> KeyPath:
        """The path of the agent with this id, made if there is none."""
        agents = self.document.setdefault("agents", {})
        if not isinstance(agents, dict):
            return ("agents", "entries", id)
        if isinstance(agents.get("entries"), dict):
            agents["entries"].setdefault(id, {})
            return ("agents", "entries", id)
        listed = agents.setdefault("list", [])
        if not isinstance(listed, list):
            return ("agents", "list")
        for index, agent in enumerate(listed):
            if isinstance(agent, dict) and agent.get("id") == id:
                return ("agents", "list", index)
        listed.append({"id": id})
        return ("agents", "list", len(listed) - 1)

    def _take(self, path: KeyPath) -> Any:
        owner = self.at(path[:-1])
        return owner.pop(path[-1], ABSENT) if isinstance(owner, dict) else ABSENT

    def _put(self, path: KeyPath, value: Any, old: KeyPath) -> None:
        """Put a value of ``old`` where it belongs. Beside another value it must be the same, or both must restrict."""
        self._report.origins[path] = old
        owner: Any = self.document
        for key in path[:-1]:
            if isinstance(owner, dict):
                owner = owner.setdefault(key, {})
            elif isinstance(owner, list) and isinstance(key, int) and key < len(owner):
                owner = owner[key]
            else:
                break
        if isinstance(owner, str) and path[-1] == "fallbacks":
            # A model that is written as text has no fallbacks of its own.
            owner = {"primary": owner}
            value_at(self.document, path[:-2])[path[-2]] = owner
        if not isinstance(owner, dict):
            self._report.add(old, f"an object at {dotted(path[:-1])}, or the key where it belongs: {dotted(path)}")
            return
        there = owner.get(path[-1], ABSENT)
        if there is ABSENT or there == value:
            owner[path[-1]] = value
        elif isinstance(there, dict) and isinstance(value, dict):
            for name, inner in value.items():
                self._put((*path, name), inner, (*old, name))
        elif path[-1] == "deny" and isinstance(there, list) and isinstance(value, list):
            owner[path[-1]] = [*there, *(each for each in value if each not in there)]
        else:
            self._report.add(old, f"nothing, because {dotted(path)} says something else", "a second value")

    def drop_empty(self, *paths: KeyPath) -> None:
        for path in paths:
            if self.at(path) == {}:
                self._take(path)
