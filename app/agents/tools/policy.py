"""Which agent may use which tools, decided before a run starts: a tool that is not allowed is not even offered."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import replace
from functools import cache
from typing import NamedTuple

from app.config.matching import matches, programs
from app.config.meant import is_caller, is_model
from app.config.settings import SECURITIES, Exec, Limit, ModelChoice, Settings, Tools

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
ALIASES = {"bash": "exec"}
# Names of OpenClaw's for what it denies; where they allow, they mean nothing here, which is narrower.
_DENIED: Mapping[str, tuple[str, ...]] = {
    "bundle-mcp": (MCP_NAMES,),
    "group:plugins": (MCP_NAMES,),
    "group:openclaw": ("web_fetch", *GROUPS["group:sessions"]),
    "group:agents": ("agents_list",),
    "sessions": GROUPS["group:sessions"],
    # It shows what files hold, which nothing but read does there.
    "read": ("grep",),
}
# Profiles under which commands run in a shell unless tools.exec.security says otherwise.
_WITH_SHELL = ("coding", "full")


class Refusal(NamedTuple):
    """Why a tool is not offered.

    rule: what decides it, in a word. reason: the same for whoever runs the gateway, to be read after the tool's name.
    """

    rule: str
    reason: str


def refused_to_clients(settings: Settings, tool: str, full_name: str) -> Refusal | None:
    """Why no client may call for the tool by itself; None where it may."""
    denied = _expanded_denied(settings.gateway.tools.deny)
    if _named(tool, denied) or _named(full_name or tool, denied):
        return Refusal("gateway", "denied by gateway.tools.deny to clients that call for it themselves")
    return None


class Policy:
    """What one agent may do.

    The agent's profile replaces the gateway's, ``alsoAllow`` of both widens it. The gateway's ``allow`` is a ceiling,
    ``deny`` of either always wins, and an agent's ``allow`` only narrows. Names are tools, ``group:…`` or patterns
    with ``*``, whatever their case and the space around them.

    profile: the one that applies. exec: how commands may run; of its fields only bounds may be None.
    ``limits`` of both narrow further; those for certain models hold where one of ``choice`` is meant, since any of them
    may answer, those for certain callers where ``identity`` is; and where it is None, whoever or whatever they are for.
    is_special: other models or callers may have another policy.
    """

    def __init__(
        self, gateway: Tools, agent: Tools, choice: ModelChoice | None = None, identity: str | None = None
    ) -> None:
        self.profile = agent.profile or gateway.profile or "minimal"
        self._granted = _expanded((*PROFILES[self.profile], *gateway.also_allow, *agent.also_allow))
        self._ceilings = [_expanded(allow) for allow in (gateway.allow, agent.allow) if allow is not None]
        self._denied = _expanded_denied((*gateway.deny, *agent.deny))
        limits = (*gateway.limits, *agent.limits)
        self.is_special = any(limit.model is not None or limit.identity is not None for limit in limits)
        self._limits = [_Ceiling(limit) for limit in limits if _holds(limit, choice, identity)]
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
        for limit in self._limits:
            if limit.forbids(tool, name):
                return Refusal("limit", f"forbidden by {limit.where}")
        if tool == "exec" and self.exec.security == "deny":
            return Refusal("exec", "switched off by tools.exec.security")
        return None

    @property
    def may_allow_mcp(self) -> bool:
        """Whether a tool of an MCP server might be allowed, whatever the servers are called."""
        return any("*" in pattern or "__" in pattern for pattern in self._granted)


def without_network(settings: Settings) -> list[str]:
    """The agents that may have commands and must have no network for them."""
    found = []
    for agent in settings.agents.values():
        # Without what narrows it for some models and callers alone: there may be others.
        policy = Policy(replace(settings.tools, limits=()), replace(agent.tools, limits=()))
        if policy.allows("exec") and not policy.exec.network:
            found.append(agent.id)
    return found


def _exec(gateway: Exec, agent: Exec, usual: str) -> Exec:
    """The narrower of both, where both say something."""
    wanted = agent.security or gateway.security or usual
    most = gateway.security or wanted
    bins = agent.safe_bins if agent.safe_bins is not None else gateway.safe_bins or ()
    if gateway.safe_bins is not None or gateway.security == "allowlist":
        bins = tuple(name for name in bins if name in (gateway.safe_bins or ()))
    barred = {normal(name).rpartition("/")[2] for name in (*gateway.barred, *agent.barred)}
    bins = tuple(name for name in bins if not programs(name) & barred)
    return Exec(
        security=min(wanted, most, key=SECURITIES.index),
        safe_bins=bins,
        timeout_seconds=_least(gateway.timeout_seconds, agent.timeout_seconds),
        network=gateway.network and agent.network,
        max_memory_bytes=_least(gateway.max_memory_bytes, agent.max_memory_bytes),
        max_processes=_least(gateway.max_processes, agent.max_processes),
    )


def _least(*bounds: int | None) -> int | None:
    return min((bound for bound in bounds if bound is not None), default=None)


class _Ceiling:
    """One limit, with its names expanded."""

    def __init__(self, limit: Limit) -> None:
        self.where = limit.where
        self._denied = _expanded_denied(limit.deny)
        self._ceilings = [] if limit.allow is None else [_expanded((*limit.allow, *limit.also_allow))]
        if limit.profile is not None:
            self._ceilings.append(_expanded((*PROFILES[limit.profile], *limit.also_allow)))

    def forbids(self, tool: str, name: str) -> bool:
        """name: the full one."""
        if _named(name, self._denied) or _named(tool, self._denied):
            return True
        return not all(_named(name, ceiling) for ceiling in self._ceilings)


def _holds(limit: Limit, choice: ModelChoice | None, identity: str | None) -> bool:
    """Whether a limit is for a run of this caller that may ask the models of ``choice``; what is not known, may be."""
    if limit.identity is not None and identity is not None and not is_caller(identity, limit.identity):
        return False
    if limit.model is None or choice is None:
        return True
    return any(is_model(reference, limit.model) for reference in (choice.primary, *choice.fallbacks))


@cache
def _expanded_denied(names: tuple[str, ...]) -> frozenset[str]:
    denied = {*_expand(names)}
    for name in map(normal, names):
        for group in meant_groups(name):
            denied |= {*GROUPS.get(group, ()), *_DENIED.get(group, ())}
            denied.add(ALIASES.get(group, group))
        denied.update(of_server(name))
    return frozenset(denied)


def meant_groups(name: str) -> list[str]:
    """The groups and other names that a name in ``deny``, or a pattern, stands for."""
    # A pattern for names of tools, such as session*, means these alone.
    names = (group for group in (*GROUPS, *_DENIED, *ALIASES) if group != "sessions" or name == group)
    return [group for group in names if matches(group, name)]


def of_server(name: str) -> Iterator[str]:
    """Patterns for the tools that ``deny`` means if the name is an MCP server's, or in the form ``mcp__<server>``."""
    bare = name.removeprefix("mcp__")
    if "__" not in bare and (bare != name or "*" not in bare):
        yield f"{bare}__*"
    elif bare != name:
        yield bare


@cache
def _expanded(names: tuple[str, ...]) -> frozenset[str]:
    return frozenset(_expand(names))


def _expand(names: Iterable[str]) -> Iterator[str]:
    for name in names:
        wanted = normal(name)
        if wanted in GROUPS:
            yield from GROUPS[wanted]
        else:
            yield ALIASES.get(wanted, wanted)


def normal(name: str) -> str:
    """A name as OpenClaw compares it: of any case, and with space around it, it means the same."""
    return name.strip().lower()


def _named(tool: str, patterns: frozenset[str]) -> bool:
    lowered = tool.lower()
    return lowered in patterns or any("*" in pattern and matches(lowered, pattern) for pattern in patterns)
