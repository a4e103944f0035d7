"""Which agent may use which tools, decided before a run starts: a tool that is not allowed is not even offered."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from fnmatch import fnmatchcase
from functools import cache
from typing import NamedTuple

from app.concurrency.slices import taking_turns
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
_ALIASES = {"bash": "exec"}
# Names of OpenClaw's for what it denies; where they allow, they mean nothing here, which is narrower.
_DENIED: Mapping[str, tuple[str, ...]] = {
    "bundle-mcp": (MCP_NAMES,),
    "group:plugins": (MCP_NAMES,),
    "group:openclaw": ("web_fetch", *GROUPS["group:sessions"]),
    "group:agents": ("agents_list",),
    "sessions": GROUPS["group:sessions"],
}
_BUILT_IN = tuple(name for group in GROUPS.values() for name in group)
# Tools and groups of OpenClaw's that there is nothing like here.
_FOREIGN = frozenset(
    {
        *("apply_patch", "browser", "canvas", "cron", "gateway", "image", "image_generate", "memory_get"),
        *("memory_search", "message", "music_generate", "nodes", "pdf", "process", "sessions_spawn", "sessions_yield"),
        *(
            "subagents",
            "tts",
            "update_plan",
            "video_generate",
            "view_image",
            "web_search",
            "x_search",
            "code_execution",
        ),
        *("whatsapp_login", "skills", "suggest_task", "terminal", "portal", "github", "swarm", "plugins"),
        *("group:automation", "group:media", "group:memory", "group:messaging", "group:nodes", "group:ui"),
    }
)
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
    with ``*``, whatever their case and the space around them.

    profile: the one that applies. exec: how commands may run, with every field but ``timeout_seconds`` set.
    ``limits`` of both narrow further; those for certain models hold where one of ``choice`` is meant, since any of them
    may answer, and where no choice is given. is_special: other models or callers may have another policy.
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
        self._limits = [
            _Ceiling(limit) for limit in limits if _holds(limit, choice) and limit.identity in (None, identity)
        ]
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


def name_warnings(settings: Settings) -> Iterator[str]:
    """A line for each name in the policies that means no tool here, and one for all tools of OpenClaw's."""
    foreign: dict[str, None] = {}
    for who, name, denies in taking_turns(_meaningless(settings)):
        if _normal(name) in _FOREIGN:
            foreign[name] = None
        elif denies:
            yield f"{who}: there is no tool {name!r}, so nothing is denied by that name; commands are run by exec"
        else:
            yield f"{who}: there is no tool {name!r}; the name has no effect"
    if foreign:
        yield f"policies name tools of OpenClaw's that there are not here: {', '.join(foreign)}"


def _meaningless(settings: Settings) -> Iterator[tuple[str, str, bool]]:
    """(who, name, whether it should deny) of each name in the policies that no tool can have."""
    owners = [("tools", settings.tools)]
    owners += [(f"agent {agent.id}", agent.tools) for agent in settings.agents.values()]
    for who, tools in owners:
        yield from _without_tool(settings, who, (*(tools.allow or ()), *tools.also_allow), tools.deny)
        for limit in tools.limits:
            yield from _without_tool(settings, limit.where, (*(limit.allow or ()), *limit.also_allow), limit.deny)


def _without_tool(
    settings: Settings, who: str, allowed: Sequence[str], denied: Sequence[str]
) -> Iterator[tuple[str, str, bool]]:
    # Nobody knows yet which tools the servers have.
    unknowable = any(server.enabled for server in settings.mcp_servers.values())
    for name in dict.fromkeys((*allowed, *denied)):
        normal = _normal(name)
        pattern = _ALIASES.get(normal, normal)
        means = (*GROUPS, *_DENIED) if name in denied else GROUPS
        if (
            pattern not in means
            and "__" not in pattern
            and not ("*" in pattern and unknowable)
            and not any(fnmatchcase(tool, pattern) for tool in _BUILT_IN)
        ):
            yield who, name, name in denied and pattern not in _FOREIGN


def _exec(gateway: Exec, agent: Exec, usual: str) -> Exec:
    """The narrower of both, where both say something."""
    wanted = agent.security or gateway.security or usual
    most = gateway.security or wanted
    bins = agent.safe_bins if agent.safe_bins is not None else gateway.safe_bins or ()
    if gateway.safe_bins is not None or gateway.security == "allowlist":
        bins = tuple(name for name in bins if name in (gateway.safe_bins or ()))
    barred = {_normal(name) for name in (*gateway.barred, *agent.barred)}
    bins = tuple(name for name in bins if not {_normal(name), _normal(name).rstrip("0123456789.")} & barred)
    times = [seconds for seconds in (gateway.timeout_seconds, agent.timeout_seconds) if seconds is not None]
    return Exec(
        security=min(wanted, most, key=SECURITIES.index),
        safe_bins=bins,
        timeout_seconds=min(times, default=None),
    )


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


def _holds(limit: Limit, choice: ModelChoice | None) -> bool:
    """Whether a limit is for a run that may ask the models of ``choice``; where that is not known, it is."""
    if limit.model is None or choice is None:
        return True
    pattern = _normal(limit.model)
    references = [reference.lower() for reference in (choice.primary, *choice.fallbacks)]
    return any(
        fnmatchcase(reference, pattern) or fnmatchcase(reference.partition("/")[0], pattern) for reference in references
    )


def _expanded_denied(names: tuple[str, ...]) -> frozenset[str]:
    return _expanded(names) | {tool for name in names for tool in _DENIED.get(_normal(name), ())}


@cache
def _expanded(names: tuple[str, ...]) -> frozenset[str]:
    return frozenset(_expand(names))


def _expand(names: Iterable[str]) -> Iterator[str]:
    for name in names:
        normal = _normal(name)
        if normal in GROUPS:
            yield from GROUPS[normal]
        else:
            yield _ALIASES.get(normal, normal)


def _normal(name: str) -> str:
    """A name as OpenClaw compares it: of any case, and with space around it, it means the same."""
    return name.strip().lower()


def _named(tool: str, patterns: frozenset[str]) -> bool:
    lowered = tool.lower()
    return lowered in patterns or any("*" in pattern and fnmatchcase(lowered, pattern) for pattern in patterns)
