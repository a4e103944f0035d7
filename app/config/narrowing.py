"""Tool policies as the file has them, with all that narrows them, as the policies that hold here.

What this gateway can't do as asked for (nobody can be asked whether a command may run, there is no sandbox) is done
narrower, and the report says so. Nothing in here ever widens.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NamedTuple

from app.config import settings as kinds
from app.config.faults import KeyPath, Report, dotted
from app.config.matching import folded

Data = Mapping[str, Any]

MODES = {"deny": "deny", "allowlist": "allowlist", "ask": "allowlist", "auto": "allowlist", "full": "full"}
# Programs that run what is written in their arguments, or the program that is named there. Versions behind a name don't
# count: see ``policy``.
INTERPRETERS = (
    *("sh", "ash", "bash", "dash", "zsh", "ksh", "mksh", "rbash", "csh", "tcsh", "fish", "elvish", "nu", "xonsh"),
    *("pwsh", "powershell", "cmd", "python", "pythonw", "pypy", "ipython", "jython", "micropython", "node", "nodejs"),
    *(
        "deno",
        "bun",
        "bunx",
        "npx",
        "npm",
        "pnpm",
        "yarn",
        "tsx",
        "ts-node",
        "corepack",
        "qjs",
        "js",
        "jsc",
        "uv",
        "uvx",
    ),
    *("pip", "pipx", "poetry", "pdm", "conda", "ruby", "irb", "jruby", "gem", "bundle", "rake", "perl", "raku", "php"),
    *(
        "lua",
        "luajit",
        "tclsh",
        "wish",
        "expect",
        "R",
        "Rscript",
        "julia",
        "octave",
        "guile",
        "racket",
        "sbcl",
        "clisp",
    ),
    *(
        "ecl",
        "scheme",
        "clojure",
        "bb",
        "emacs",
        "emacsclient",
        "ed",
        "ex",
        "vi",
        "vim",
        "nvim",
        "view",
        "nano",
        "less",
    ),
    *("more", "man", "java", "jshell", "groovy", "scala", "kotlin", "erl", "elixir", "iex", "ghc", "ghci", "runghc"),
    *("ocaml", "swift", "dart", "go", "cargo", "rustc", "gcc", "cc", "clang", "tcc", "dotnet", "csi", "mono", "m4"),
    *("dc", "awk", "gawk", "mawk", "nawk", "sed", "gsed", "sqlite", "psql", "mysql", "redis-cli", "gdb", "lldb"),
    *("strace", "ltrace", "osascript", "git", "hg", "svn", "make", "gmake", "cmake", "ninja", "just", "task", "env"),
    *("xargs", "find", "fd", "parallel", "timeout", "nice", "ionice", "chrt", "taskset", "nohup", "time", "watch"),
    *("setsid", "stdbuf", "unbuffer", "script", "flock", "chroot", "unshare", "nsenter", "systemd-run", "at", "batch"),
    *(
        "crontab",
        "entr",
        "ssh",
        "scp",
        "sftp",
        "rsync",
        "sudo",
        "su",
        "doas",
        "runuser",
        "pkexec",
        "setpriv",
        "busybox",
    ),
    *("toybox", "tmux", "screen", "tar", "gtar", "bsdtar", "zip", "rpm", "dpkg", "apt", "apt-get", "docker", "podman"),
    *("kubectl", "nc", "ncat", "socat", "wget", "ld.so", "ld-linux"),
)
_NOBODY = "and nobody can be asked here"
_SAFE_BINS = "only safeBins run, all else is denied"
_OFF = "commands are off"
_OTHERS = ("sessions_list", "sessions_history", "sessions_send")
_WRITING = ("write", "edit")
# Senders that a gateway's callers can't be: they come from chat channels. And those that users of a proxy can be.
_OF_CHATS = ("channel:", "e164:")
_OF_PROXIES = ("id", "username")


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


class Naming(NamedTuple):
    """proxied: callers are known by the names that a proxy gives them. aliases: as ``Settings`` has them."""

    proxied: bool
    aliases: Mapping[str, str]


def tools_of(base: Written, own: Written, naming: Naming, report: Report, *, usual: str | None = None) -> kinds.Tools:
    """``own`` over ``base``: what grants replaces, and what narrows does so besides that of ``base``.

    usual: the profile where none is written.
    """
    merged = {**base.data, **own.data}
    limits = [limit for each in (base, own) for limit in _limits(each, naming, report)]
    if "allow" in base.data and "allow" in own.data:
        limits.append(kinds.Limit(dotted((*base.path, "allow")), allow=tuple(base.data["allow"])))
    return kinds.Tools(
        profile=merged.get("profile", usual),
        allow=tuple(merged["allow"]) if "allow" in merged else None,
        also_allow=tuple(merged.get("also_allow", ())),
        deny=tuple(dict.fromkeys([*base.data.get("deny", []), *own.data.get("deny", [])])),
        exec=_exec(base, own, report),
        limits=tuple(limits),
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
    # Tools that the file names are told in the warning alone.
    said = ", ".join([instead, *(f"{tool} ({name})" for name, each in tools.items() for tool in each.get("deny", ()))])
    report.narrow(at, f'{where} is "{mode}" and there is no sandbox here: {said}', instead)
    yield kinds.Limit(where, deny=tuple(denied))
    for name, policy in tools.items():
        yield _limit(name, policy)


def _exec(base: Written, own: Written, report: Report) -> kinds.Exec:
    sections = [Written(each.data.get("exec", {}), (*each.path, "exec")) for each in (base, own)]
    asked = [one for section in sections for one in _asked(section)]
    security = min((each.security for each in asked), key=kinds.SECURITIES.index, default=None)
    for each in asked:
        if each.instead and each.security == security:
            report.narrow(each.path, f"{dotted(each.path)} is {each.why}{each.instead}", each.instead)
    barred: list[str] = []
    for data, path in sections:
        if data.get("strict_inline_eval"):
            barred += INTERPRETERS
        if profiles := data.get("safe_bin_profiles"):
            barred += profiles
            place, instead = (*path, "safeBinProfiles"), "the programs that it names run under no allowlist"
            said = f"limits arguments, which is not done here: {', '.join(profiles)} run under no allowlist"
            report.narrow(place, f"{dotted(place)} {said}", instead)
    bins = [data["safe_bins"] for data, _ in sections if "safe_bins" in data]
    return kinds.Exec(
        security=security,
        # The agent's, of those that the defaults list, where they do.
        safe_bins=tuple(name for name in bins[-1] if name in bins[0]) if bins else None,
        timeout_seconds=_least("timeout_seconds", sections),
        barred=tuple(dict.fromkeys(barred)),
        network=all(data.get("network", True) for data, _ in sections),
        max_memory_bytes=_least("max_memory_bytes", sections),
        max_processes=_least("max_processes", sections),
    )


def _least(name: str, sections: Sequence[Written]) -> int | None:
    return min((data[name] for data, _ in sections if name in data), default=None)


def _asked(section: Written) -> Iterator[_Asked]:
    data, path = section
    if (security := data.get("security")) is not None:
        yield _Asked(security)
    if (mode := data.get("mode")) is not None:
        instead = _SAFE_BINS if mode in ("ask", "auto") else ""
        yield _Asked(MODES[mode], (*path, "mode"), f'"{mode}" {_NOBODY}: ', instead)
    ask = data.get("ask", "off")
    if ask == "on-miss":
        yield _Asked("allowlist", (*path, "ask"), f'"on-miss" {_NOBODY}: ', _SAFE_BINS)
    elif ask == "always":
        yield _Asked("deny", (*path, "ask"), f'"always" {_NOBODY}: ', _OFF)
    host = data.get("host", "auto")
    if host in ("sandbox", "node"):
        yield _Asked("deny", (*path, "host"), f'"{host}" and there is no {host} here: ', _OFF)
    if data.get("strict_inline_eval"):
        instead = "held by running safeBins alone, and none of them that runs what its arguments say"
        yield _Asked("allowlist", (*path, "strictInlineEval"), "", instead)


def _limits(written: Written, naming: Naming, report: Report) -> Iterator[kinds.Limit]:
    own, path = written
    for name, policy in own.get("by_provider", {}).items():
        where, alias = dotted((*path, "byProvider", name)), naming.aliases.get(name.strip().lower())
        yield _limit(where, policy, model=name)
        if alias is not None:
            yield _limit(where, policy, model=alias)
    for name, policy in own.get("tools_by_sender", {}).items():
        yield from _of_sender(name, policy, (*path, "toolsBySender", name), naming, report)
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


def _of_sender(name: str, policy: Data, path: KeyPath, naming: Naming, report: Report) -> Iterator[kinds.Limit]:
    where = dotted(path)
    kind, _, who = folded(name).partition(":")
    if name.startswith(_OF_CHATS):
        report.ignore(path)
    elif name.strip() == "*":
        yield _limit(where, policy)
    elif naming.proxied and kind.strip() in _OF_PROXIES and who.strip(" @") and not re.search(r"\*|\$\{", who):
        yield _limit(where, policy, identity=who)
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
