"""Which agent may use which tools, decided before a run starts: a tool that is not allowed is not even offered."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from fnmatch import fnmatchcase
from functools import cache
from typing import NamedTuple

from app.config.settings import Exec, Settings, Tools

# Tools of MCP servers are called <server>__<tool>; no other tool has two underscores.
MCP_NAMES = "*__*"

GROUPS: Mapping[str, tuple[str, ...]] = {
    "group:fs": ("read", "write", "edit", "ls", "find", "grep"),
    "group:runtime": ("exec",),
    "group:web": ("web_fetch",),
    "group:sessions": ("session_status", "sessions_list", "sessions_history", "sessions_send", "agents_list"),
    "group:mcp": (MCP_NAMES,),
}

PROFILES: Mapping[str, tuple[str, ...]] = {
    "minimal": ("session_status",),
    "readonly": ("read", "ls", "find", "grep", "session_status", "sessions_list", "sessions_history", "agents_list"),
    "coding": ("group:fs", "group:runtime", "group:web", "group:sessions", "group:mcp"),
    "full": ("*",),
}

# Names that OpenClaw's own files use for the same thing.
_ALIASES = {"bash": "exec"}
# From the narrowest to the widest.
_SECURITIES = ("deny", "allowlist", "full")
# Profiles under which commands run in a shell unless tools.exec.security says otherwise.
_WITH_SHELL = ("coding", "full")


class Refusal(NamedTuple):
    """Why a tool is not offered.

    rule: what decides it, in a word. reason: the same for whoever runs the gateway, to be read after the tool's name.
    """

    rule: str
    reason: str


class Policy:
    """What one agent may do.

    The agent's profile replaces the gateway's, ``alsoAllow`` of both widens it. The gateway's ``allow`` is a ceiling,
    ``deny`` of either always wins, and an agent's ``allow`` only narrows. Names are tools, ``group:…`` or patterns
    with ``*``, whatever their case.

    profile: the one that applies. exec: how commands may run, with every field but ``timeout_seconds`` set.
    """

    def __init__(self, gateway: Tools, agent: Tools) -> None:
        self.profile = agent.profile or gateway.profile or "minimal"
        self._granted = _expanded((*PROFILES[self.profile], *gateway.also_allow, *agent.also_allow))
        self._ceilings = [_expanded(allow) for allow in (gateway.allow, agent.allow) if allow is not None]
        self._denied = _expanded((*gateway.deny, *agent.deny))
        self.exec = _exec(gateway.exec, agent.exec, "full" if self.profile in _WITH_SHELL else "allowlist")

    def allows(self, tool: str, full_name: str = "") -> bool:
        """full_name: of a tool that models call by a shortened one. Either is denied, only the full one allowed."""
        return self.refusal(tool, full_name) is None

    def refusal(self, tool: str, full_name: str = "") -> Refusal | None:
        """Why the tool is not allowed; None where it is."""
        name = full_name or tool
        if _named(name, self._denied) or _named(tool, self._denied):
            return Refusal("deny", "denied by tools.deny")
        if not all(_named(name, ceiling) for ceiling in self._ceilings):
            return Refusal("allow", "not in tools.allow, beyond which nothing is allowed")
        if not _named(name, self._granted):
            return Refusal("profile", f"not in the profile {self.profile}; tools.alsoAllow adds to it")
        if tool == "exec" and self.exec.security == "deny":
            return Refusal("exec", "switched off by tools.exec.security")
        return None

    @property
    def may_allow_mcp(self) -> bool:
        """Whether a tool of an MCP server might be allowed, whatever the servers are called."""
        return any("*" in pattern or "__" in pattern for pattern in self._granted)


def unknown_names(settings: Settings) -> Iterator[tuple[str, str]]:
    """(who, name) of each name in the policies that means no tool here: a typing error, or a tool of OpenClaw's."""
    owners = [("tools", settings.tools)]
    owners += [(f"agent {agent.id}", agent.tools) for agent in settings.agents.values()]
    built_in = [name for group in GROUPS.values() for name in group]
    # Nobody knows yet which tools the servers have.
    unknowable = any(server.enabled for server in settings.mcp_servers.values())
    for who, tools in owners:
        for name in dict.fromkeys((*(tools.allow or ()), *tools.also_allow, *tools.deny)):
            lowered = name.lower()
            pattern = _ALIASES.get(lowered, lowered)
            if (
                pattern not in GROUPS
                and "__" not in pattern
                and not ("*" in pattern and unknowable)
                and not any(fnmatchcase(tool, pattern) for tool in built_in)
            ):
                yield who, name


def _exec(gateway: Exec, agent: Exec, usual: str) -> Exec:
    """The narrower of both, where both say something."""
    wanted = agent.security or gateway.security or usual
    most = gateway.security or wanted
    bins = agent.safe_bins if agent.safe_bins is not None else gateway.safe_bins or ()
    if gateway.safe_bins is not None or gateway.security == "allowlist":
        bins = tuple(name for name in bins if name in (gateway.safe_bins or ()))
    times = [seconds for seconds in (gateway.timeout_seconds, agent.timeout_seconds) if seconds is not None]
    return Exec(
        security=min(wanted, most, key=_SECURITIES.index),
        safe_bins=bins,
        timeout_seconds=min(times, default=None),
    )


@cache
def _expanded(names: tuple[str, ...]) -> frozenset[str]:
    return frozenset(_expand(names))


def _expand(names: Iterable[str]) -> Iterator[str]:
    for name in names:
        lowered = name.lower()
        if lowered in GROUPS:
            yield from GROUPS[lowered]
        else:
            yield _ALIASES.get(lowered, lowered)


def _named(tool: str, patterns: frozenset[str]) -> bool:
    lowered = tool.lower()
    return lowered in patterns or any("*" in pattern and fnmatchcase(lowered, pattern) for pattern in patterns)
