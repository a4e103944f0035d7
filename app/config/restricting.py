"""Keys that narrow what an agent, a tool, a caller or a peer may do, and how each is treated: never ignored.

A row is a key, ``*`` for any name; it stands for what is below it, where that has no row of its own. ``tools.…`` stands
for the same keys of an agent's tools, ``agents.defaults.…`` for those of each agent.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from enum import Enum
from types import MappingProxyType
from typing import Any

from app.config.faults import ABSENT, KeyPath, Report
from app.config.owners import owners

Data = Mapping[str, Any]


class Treatment(Enum):
    EXACT = "obeyed"
    STRICTER = "something narrower is done, and the warning says so"
    REFUSE = "the start is refused"
    SAFE = "ignored: there is nothing here that it could narrow"


EXACT, STRICTER, REFUSE, SAFE = Treatment.EXACT, Treatment.STRICTER, Treatment.REFUSE, Treatment.SAFE

TREATMENTS: Mapping[str, Treatment] = MappingProxyType(
    {
        "tools.profile": STRICTER,  # messaging is less here
        "tools.allow": EXACT,
        "tools.alsoAllow": EXACT,
        "tools.deny": EXACT,
        "tools.byProvider": STRICTER,  # of all models that may answer a run
        "tools.toolsBySender": STRICTER,
        "tools.sandbox": STRICTER,
        "tools.subagents": SAFE,
        "tools.elevated": SAFE,
        "tools.fs": STRICTER,
        "tools.web": SAFE,
        "tools.web.fetch.enabled": EXACT,
        "tools.web.fetch.ssrfPolicy": SAFE,
        "tools.web.fetch.ssrfPolicy.blockedHostnames": REFUSE,
        "tools.agentToAgent": SAFE,
        "tools.sessions": STRICTER,
        "tools.sessions_spawn": SAFE,
        "tools.loopDetection": SAFE,
        "tools.message": SAFE,
        "tools.media": SAFE,
        "tools.links": SAFE,
        "tools.github": SAFE,
        "tools.codeMode": SAFE,
        "tools.swarm": SAFE,
        "tools.exec": SAFE,
        "tools.exec.mode": STRICTER,
        "tools.exec.security": EXACT,
        "tools.exec.ask": STRICTER,
        "tools.exec.host": STRICTER,
        "tools.exec.strictInlineEval": STRICTER,
        "tools.exec.safeBins": EXACT,
        "tools.exec.safeBinProfiles": STRICTER,
        "tools.exec.timeoutSeconds": EXACT,
        "tools.exec.network": EXACT,
        "tools.exec.maxMemoryBytes": EXACT,
        "tools.exec.maxProcesses": EXACT,
        "agents.defaults.sandbox": STRICTER,
        "agents.defaults.models": EXACT,
        "agents.defaults.modelPolicy": EXACT,
        "agents.defaults.subagents": SAFE,
        "agents.defaults.maxConcurrent": EXACT,
        "agents.defaults.timeoutSeconds": STRICTER,
        "agents.defaults.contextTokens": EXACT,
        "agents.defaults.skills": SAFE,
        "agents.defaults.groupChat": SAFE,
        "agents.defaults.contextPruning": SAFE,
        "agents.defaults.memory": SAFE,
        "agents.defaults.memorySearch": SAFE,
        "agents.defaults.heartbeat": SAFE,
        "agents.ownership": SAFE,
        "agents.defaults.compaction": SAFE,
        "gateway.bind": EXACT,
        "gateway.customBindHost": EXACT,
        "gateway.tls": REFUSE,
        "gateway.auth": EXACT,
        "gateway.auth.allowTailscale": SAFE,
        "gateway.auth.identityScopes": REFUSE,
        "gateway.auth.trustedProxy.cloudflareAccessOidc": REFUSE,
        "gateway.auth.trustedProxy.deviceAutoApprove": SAFE,
        "gateway.roles": REFUSE,
        "gateway.trustedProxies": EXACT,
        "gateway.allowRealIpFallback": SAFE,
        "gateway.tools": SAFE,
        "gateway.tools.deny": EXACT,
        "gateway.controlUi": SAFE,
        "gateway.controlUi.allowedOrigins": EXACT,
        "gateway.http.endpoints.chatCompletions": EXACT,
        "gateway.http.endpoints.responses": SAFE,
        "gateway.nodes": SAFE,
        "gateway.terminal": SAFE,
        "gateway.portals": SAFE,
        "gateway.cliAgents": SAFE,
        "gateway.push": SAFE,
        "gateway.remote": SAFE,
        "gateway.tailscale": SAFE,
        "gateway.webchat": SAFE,
        "gateway.reload": EXACT,
        "session.sendPolicy": REFUSE,
        "session.dmScope": SAFE,
        "session.groupScope": SAFE,
        "session.scope": SAFE,
        "session.identityLinks": SAFE,
        "session.resetByType": SAFE,
        "session.resetByChannel": SAFE,
        "sharing": SAFE,
        "commands": SAFE,
        "approvals": SAFE,
        "security": SAFE,
        "auth": SAFE,
        "secrets": EXACT,
        "plugins": SAFE,
        "hooks": SAFE,
        "browser": SAFE,
        "acp": SAFE,
        "cron": SAFE,
        "discovery": SAFE,
        "broadcast": SAFE,
        "accessGroups": SAFE,
        "nodeHost": SAFE,
        "channels": SAFE,
        "skills": SAFE,
        "logging.redactPatterns": EXACT,
        "logging.redactSensitive": SAFE,
        "mcp.servers.*.enabled": EXACT,
        "mcp.servers.*.toolFilter": EXACT,
        "mcp.servers.*.sslVerify": SAFE,
        "mcp.servers.*.codex": SAFE,
        "models.mode": EXACT,
        "models.providers.*.request": SAFE,
        "models.providers.*.request.proxy": REFUSE,
        "models.providers.*.request.tls": REFUSE,
        "proxy": REFUSE,
    }
)


def in_table(path: KeyPath) -> KeyPath:
    """A key's path as the table has it: an agent's keys are the defaults', its tools' the gateway's."""
    if path[:2] in (("agents", "entries"), ("agents", "list")) and len(path) > 3:
        path = ("agents", "defaults", *path[3:])
    return path[2:] if path[:3] == ("agents", "defaults", "tools") else path


def treatment_of(path: KeyPath) -> Treatment | None:
    """How a key is treated: by its own row, or by that of the nearest section around it that has one."""
    path = in_table(path)
    for end in range(len(path), 0, -1):
        if (found := _row(path[:end])) is not None:
            return found
    return None


def _row(path: KeyPath) -> Treatment | None:
    return next((found for row, found in _ROWS if len(row) == len(path) and _fits(row, path)), None)


def _fits(row: Sequence[str], path: KeyPath) -> bool:
    return all(step in ("*", key) for step, key in zip(row, path, strict=True))


_ROWS = tuple((tuple(row.split(".")), found) for row, found in TREATMENTS.items())

_NOTHING: tuple[Any, ...] = (None, {}, [])
# What other products call the filter of an MCP server's tools, in lower case and without what is no letter.
_FILTERS: Mapping[str, str] = MappingProxyType(
    dict.fromkeys(("include", "includetools", "includedtools", "allow", "allowtools", "allowedtools"), "include")
    | dict.fromkeys(("enabledtools", "toolallowlist"), "include")
    | dict.fromkeys(("exclude", "excludetools", "excludedtools", "deny", "denytools", "deniedtools"), "exclude")
    | dict.fromkeys(("disabledtools", "disallowedtools", "blockedtools", "tooldenylist"), "exclude")
)
_NO_PEOPLE = "nothing, because nothing here tells people apart in that way"


def refuse_unheld(document: Data, report: Report) -> None:
    """Report each key that limits what this gateway does not limit, where the file sets it. document: as written."""
    for path, value, allowed in _unheld(document):
        report.add(path, allowed, None if isinstance(value, bool | str | int) else "a setting")


def _unheld(document: Data) -> Iterator[tuple[KeyPath, Any, str]]:
    gateway = _object(document, "gateway")
    tls = gateway.get("tls")
    if isinstance(tls, Mapping):
        if tls.get("enabled", False) is not False:
            yield ("gateway", "tls", "enabled"), tls["enabled"], "false, with TLS in a proxy before this gateway"
    elif tls is not None:
        yield ("gateway", "tls"), tls, "an object with enabled: false, and TLS in a proxy before this gateway"
    if gateway.get("roles") not in _NOTHING:
        yield ("gateway", "roles"), gateway["roles"], f"{_NO_PEOPLE}; whoever has the secret may do all"
    auth = _object(gateway, "auth")
    # A mode that stands in a variable may be that one.
    if auth.get("identityScopes") not in _NOTHING and auth.get("mode") not in (None, "token", "password", "none"):
        yield (
            ("gateway", "auth", "identityScopes"),
            auth["identityScopes"],
            f"{_NO_PEOPLE}; users of a proxy may do all",
        )
    if (oidc := _object(auth, "trustedProxy").get("cloudflareAccessOidc")) not in _NOTHING:
        where: KeyPath = ("gateway", "auth", "trustedProxy", "cloudflareAccessOidc")
        yield where, oidc, "nothing: the proxy's tokens are not verified here; requiredHeaders are checked"
    yield from _send_policy(_object(document, "session").get("sendPolicy"))
    for path, tools in _all_tools(document):
        blocked = _object(_object(_object(tools, "web"), "fetch"), "ssrfPolicy").get("blockedHostnames")
        if blocked not in _NOTHING:
            where = (*path, "web", "fetch", "ssrfPolicy", "blockedHostnames")
            yield where, blocked, 'nothing: hosts are not blocked by name here; tools.deny: ["web_fetch"] blocks all'
    for name, provider in _object(_object(document, "models"), "providers").items():
        request = _object(provider, "request")
        for key in ("proxy", "tls"):
            if request.get(key) not in _NOTHING:
                where = ("models", "providers", name, "request", key)
                allowed = (
                    "nothing: requests would leave another way; HTTPS_PROXY of the gateway's environment is obeyed"
                )
                yield where, request[key], allowed
    for name, server in _object(_object(document, "mcp"), "servers").items():
        for key in server if isinstance(server, Mapping) else ():
            if (meant := _FILTERS.get(re.sub("[^a-z]", "", str(key).lower()))) and server[key] not in _NOTHING:
                yield ("mcp", "servers", name, key), server[key], f"nothing: the list belongs into toolFilter.{meant}"
    proxy = document.get("proxy")
    if proxy not in _NOTHING and not (isinstance(proxy, Mapping) and proxy.get("enabled") is False):
        allowed = "enabled: false: requests would leave past it; HTTPS_PROXY of the gateway's environment is obeyed"
        yield ("proxy",), proxy, allowed


def _send_policy(policy: Any) -> Iterator[tuple[KeyPath, Any, str]]:
    path: KeyPath = ("session", "sendPolicy")
    allowed = (
        "nothing: who may send is decided by who has the secret; only rules for channels and kinds of chats may stand"
    )
    if not isinstance(policy, Mapping):
        if policy is not None:
            yield path, policy, allowed
        return
    if policy.get("default", "allow") != "allow":
        yield (*path, "default"), policy["default"], allowed
    rules = policy.get("rules", [])
    for index, rule in enumerate(rules if isinstance(rules, list) else [rules]):
        match = _object(rule, "match")
        allows = isinstance(rule, Mapping) and rule.get("action") == "allow"
        if not allows and not (match.get("channel") or match.get("chatType")):
            yield (*path, "rules", index), rule, allowed


def _all_tools(document: Data) -> Iterator[tuple[KeyPath, Data]]:
    """Every section ``tools``: the gateway's, the agents' and that of their defaults."""
    yield ("tools",), _object(document, "tools")
    yield from (((*path, "tools"), _object(owner, "tools")) for path, owner in owners(document))


def _object(owner: Any, key: str) -> Data:
    """The object at a key, an empty one where there is none. What is no object is for the schema to say."""
    value = owner.get(key, ABSENT) if isinstance(owner, Mapping) else ABSENT
    return value if isinstance(value, Mapping) else {}
