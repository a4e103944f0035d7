"""Tool policies as the file has them, with all that narrows them, as the policies that hold here.

What this gateway can't do as asked for (nobody can be asked whether a command may run, there is no sandbox) is done
narrower, and the report says so. Nothing in here ever widens.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any, NamedTuple

from app.config import settings as kinds
from app.config.faults import KeyPath, Report, dotted

Data = Mapping[str, Any]

_MODES = {"deny": "deny", "allowlist": "allowlist", "ask": "allowlist", "auto": "allowlist", "full": "full"}
# Programs that run whatever is written in their arguments.
_INTERPRETERS = (
    *("python", "python2", "python3", "pypy", "pypy3", "node", "nodejs", "deno", "bun", "ruby", "irb", "perl", "php"),
    *("lua", "tclsh", "R", "Rscript", "osascript", "gdb", "vim", "awk", "gawk", "mawk", "nawk", "sed", "find", "xargs"),
    *("make", "env", "ssh", "sudo", "su", "busybox", "sh", "bash", "dash", "zsh", "ksh", "fish", "pwsh", "powershell"),
)
_NOBODY = "and nobody can be asked here"
_SAFE_BINS = "only safeBins run, all else is denied"
_OFF = "commands are off"
_OTHERS = ("sessions_list", "sessions_history", "sessions_send")
_WRITING = ("write", "edit")
# Senders that a gateway's callers can't be: they come from chat channels.
_OF_CHATS = ("channel:", "e164:")


class _Asked(NamedTuple):
    """What one key asks of ``exec``. instead: what is done, where that is narrower. why: what the key says, then."""

    security: str
    path: KeyPath = ()
    why: str = ""
    instead: str = ""


class Written(NamedTuple):
    """A section ``tools`` of the file, and where it stands."""

    data: Data
    path: KeyPath


def tools_of(base: Written, own: Written, report: Report, *, proxied: bool, usual: str | None = None) -> kinds.Tools:
    """``own`` over ``base``, key by key; what one of them denies or limits stays so.

    proxied: callers are known by the names that a proxy gives them. usual: the profile where none is written.
    """
    merged = {**base.data, **own.data}
    return kinds.Tools(
        profile=merged.get("profile", usual),
        allow=tuple(merged["allow"]) if "allow" in merged else None,
        also_allow=tuple(merged.get("also_allow", ())),
        deny=tuple(dict.fromkeys([*base.data.get("deny", []), *own.data.get("deny", [])])),
        exec=_exec(base, own, report),
        limits=tuple(limit for each in (base, own) for limit in _limits(each, report, proxied=proxied)),
    )


def sandboxed(sandbox: Data, tools: Data, path: KeyPath, report: Report) -> Iterator[kinds.Limit]:
    """What an agent may do that should work in a sandbox: nothing that one is needed for.

    tools: ``tools.sandbox.tools`` of all that count for it, by their paths. path: of the agent's ``sandbox``.
    """
    mode = sandbox.get("mode", "off")
    if mode == "off":
        return
    at = (*path, "mode")
    where = dotted(at)
    denied = ["exec"]
    access = sandbox.get("workspace_access", "none")
    denied += {"none": ["group:fs"], "ro": _WRITING, "rw": []}[access]
    if sandbox.get("session_tools_visibility", "spawned") == "spawned":
        denied += _OTHERS
    instead = f"denied are {', '.join(denied)}"
    report.narrow(at, f'{where} is "{mode}" and there is no sandbox here: {instead}', instead)
    yield kinds.Limit(where, deny=tuple(denied))
    for name, policy in tools.items():
        yield _limit(name, policy)


def _exec(base: Written, own: Written, report: Report) -> kinds.Exec:
    theirs, ours = base.data.get("exec", {}), own.data.get("exec", {})
    merged = {**theirs, **ours}

    def where(key: str, name: str) -> KeyPath:
        return (*(own if key in ours else base).path, "exec", name)

    asked = [*_asked(merged, where)]
    security = min((each.security for each in asked), key=kinds.SECURITIES.index, default=None)
    for each in asked:
        if each.instead and each.security == security:
            report.narrow(each.path, f"{dotted(each.path)} is {each.why}{each.instead}", each.instead)
    barred: list[str] = [*_INTERPRETERS] if merged.get("strict_inline_eval") else []
    profiles = [*theirs.get("safe_bin_profiles", ()), *ours.get("safe_bin_profiles", ())]
    if profiles:
        barred += profiles
        place = where("safe_bin_profiles", "safeBinProfiles")
        said = f"{dotted(place)} limits arguments, which is not done here: {', '.join(profiles)} run under no allowlist"
        report.narrow(place, said, "the programs that it names run under no allowlist")
    return kinds.Exec(
        security=security,
        safe_bins=tuple(merged["safe_bins"]) if "safe_bins" in merged else None,
        timeout_seconds=merged.get("timeout_seconds"),
        barred=tuple(dict.fromkeys(barred)),
        network=all(each.get("network", True) for each in (theirs, ours)),
        max_memory_bytes=_least("max_memory_bytes", theirs, ours),
        max_processes=_least("max_processes", theirs, ours),
    )


def _least(name: str, *sections: Data) -> int | None:
    return min((section[name] for section in sections if name in section), default=None)


def _asked(merged: Data, where: Callable[[str, str], KeyPath]) -> Iterator[_Asked]:
    if (security := merged.get("security")) is not None:
        yield _Asked(security)
    if (mode := merged.get("mode")) is not None:
        instead = _SAFE_BINS if mode in ("ask", "auto") else ""
        yield _Asked(_MODES[mode], where("mode", "mode"), f'"{mode}" {_NOBODY}: ', instead)
    ask = merged.get("ask", "off")
    if ask == "on-miss":
        yield _Asked("allowlist", where("ask", "ask"), f'"on-miss" {_NOBODY}: ', _SAFE_BINS)
    elif ask == "always":
        yield _Asked("deny", where("ask", "ask"), f'"always" {_NOBODY}: ', _OFF)
    host = merged.get("host", "auto")
    if host in ("sandbox", "node"):
        yield _Asked("deny", where("host", "host"), f'"{host}" and there is no {host} here: ', _OFF)
    if merged.get("strict_inline_eval"):
        instead = "held by running safeBins alone, and no interpreter among them"
        yield _Asked("allowlist", where("strict_inline_eval", "strictInlineEval"), "", instead)


def _limits(written: Written, report: Report, *, proxied: bool) -> Iterator[kinds.Limit]:
    own, path = written
    for name, policy in own.get("by_provider", {}).items():
        yield _limit(dotted((*path, "byProvider", name)), policy, model=name)
    for name, policy in own.get("tools_by_sender", {}).items():
        yield from _of_sender(name, policy, (*path, "toolsBySender", name), report, proxied=proxied)
    if own.get("web", {}).get("fetch", {}).get("enabled") is False:
        yield kinds.Limit(dotted((*path, "web", "fetch", "enabled")), deny=("web_fetch",))
    visibility = own.get("sessions", {}).get("visibility", "agent")
    if visibility in ("self", "tree"):
        at = (*path, "sessions", "visibility")
        yield kinds.Limit(dotted(at), deny=_OTHERS)
        if visibility == "tree":
            said = f'{dotted(at)} is "tree" and no session has others below it: it is taken as "self"'
            report.narrow(at, said, 'taken as "self"')
    if own.get("fs", {}).get("workspace_only") is False:
        at, instead = (*path, "fs", "workspaceOnly"), "files stay in the workspace"
        report.narrow(at, f"{dotted(at)} is false: {instead}", instead)


def _of_sender(name: str, policy: Data, path: KeyPath, report: Report, *, proxied: bool) -> Iterator[kinds.Limit]:
    where = dotted(path)
    if name.startswith(_OF_CHATS):
        report.ignore(path)
    elif name == "*":
        yield _limit(where, policy)
    elif proxied and name.startswith(("id:", "username:")):
        yield _limit(where, policy, identity=name.partition(":")[2])
    else:
        instead = "holds for every caller"
        report.narrow(path, f"{where} {instead}: they are not known by such a name here", instead)
        yield _limit(where, policy)


def _limit(where: str, policy: Data, **whom: Any) -> kinds.Limit:
    return kinds.Limit(
        where,
        profile=policy.get("profile"),
        also_allow=tuple(policy.get("also_allow", ())),
        allow=tuple(policy["allow"]) if "allow" in policy else None,
        deny=tuple(policy.get("deny", ())),
        **whom,
    )
