"""Names in policies that mean nothing here: each is told, since who wrote it relies on it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from app.agents.tools.policy import ALIASES, GROUPS, meant_groups, normal, of_server
from app.concurrency.slices import taking_turns
from app.config.matching import matches
from app.config.modelless import for_no_model
from app.config.settings import Settings, Tools

_BUILT_IN = tuple(name for group in GROUPS.values() for name in group)
# Tools and groups of OpenClaw's that there is nothing like here.
_FOREIGN = frozenset(
    {
        *(
            "apply_patch",
            "apply-patch",
            "browser",
            "canvas",
            "cron",
            "gateway",
            "image",
            "image_generate",
            "memory_get",
        ),
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


def name_warnings(settings: Settings) -> Iterator[str]:
    """A line for each name in the policies that means nothing here, and one for all tools of OpenClaw's."""
    foreign: dict[str, None] = {}
    for who, name, denies in taking_turns(_meaningless(settings)):
        if normal(name) in _FOREIGN:
            foreign[name] = None
        elif denies:
            yield f"{who}: there is no tool {name!r}, so nothing is denied by that name; commands are run by exec"
        else:
            yield f"{who}: there is no tool {name!r}; the name has no effect"
    if foreign:
        yield f"policies name tools of OpenClaw's that there are not here: {', '.join(foreign)}"
    for where in for_no_model(settings):
        yield f"{where}: no provider and no model of this configuration is called so; it narrows nothing"
    for who, tools in _owners(settings):
        if "read" in map(normal, tools.deny):
            yield f"{who}: grep is denied with read, because it shows what files hold"


def _meaningless(settings: Settings) -> Iterator[tuple[str, str, bool]]:
    """(who, name, whether it should deny) of each name in the policies that no tool can have."""
    yield from _without_tool(settings, "gateway.tools", (), settings.gateway.tools.deny)
    for who, tools in _owners(settings):
        yield from _without_tool(settings, who, (*(tools.allow or ()), *tools.also_allow), tools.deny)
        for limit in tools.limits:
            yield from _without_tool(settings, limit.where, (*(limit.allow or ()), *limit.also_allow), limit.deny)


def _without_tool(
    settings: Settings, who: str, allowed: Sequence[str], denied: Sequence[str]
) -> Iterator[tuple[str, str, bool]]:
    for names, denies in ((allowed, False), (denied, True)):
        for name in dict.fromkeys(names):
            wanted = normal(name)
            pattern = ALIASES.get(wanted, wanted)
            group = meant_groups(wanted) if denies else pattern in GROUPS
            patterns = (pattern, *of_server(wanted)) if denies else (pattern,)
            own = any(matches(tool, pattern) for tool in _BUILT_IN)
            if not group and not own and not _may_be_of_servers(patterns, settings):
                yield who, name, denies and pattern not in _FOREIGN


def _may_be_of_servers(patterns: Sequence[str], settings: Settings) -> bool:
    """Whether a server might have such a tool: nobody knows yet which tools the servers have, only how they begin.

    patterns: the name as it is written first. Without servers, what has the form of their tools is no mistake.
    """
    servers = [name.lower() for name, server in settings.mcp_servers.items() if server.enabled]
    if not servers:
        return "__" in patterns[0]
    beginnings = [f"{each}__" for name in servers for each in (name, name.replace(".", "_"))]
    heads = [(head, bool(more)) for head, more, _ in (pattern.partition("*") for pattern in patterns)]
    return any(
        head.startswith(begins) or (more and begins.startswith(head)) for head, more in heads for begins in beginnings
    )


def _owners(settings: Settings) -> list[tuple[str, Tools]]:
    agents = [(f"agent {agent.id}", agent.tools) for agent in settings.agents.values()]
    return [("tools", settings.tools), *agents]
