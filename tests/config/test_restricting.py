"""Keys that restrict: each has a treatment, and none is ignored that narrows something here."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

import pytest

from app.config import ConfigError
from app.config.keys import Tree, openclaw_keys
from app.config.restricting import TREATMENTS, Treatment, in_table, treatment_of
from tests.config.conftest import Place

# Names that say that a key narrows something. What else restricts can't be told by its name, and stands in the table.
RESTRICTS = re.compile(
    r"(allow|deny|denied|block|forbid|restrict|require|disable|readonly|sandbox|polic|scope|role|permission|approv|security"
    r"|visibility|ask\Z|only|limit|trusted|verify|tls\Z|isolat|guard|elevated|auth\Z|owner|secret|redact|max[A-Z])",
)
SCALARS = (True, False, "x", 5)


def paths(tree: Tree, path: tuple[str, ...] = ()) -> Iterator[tuple[str, ...]]:
    for key, below in tree.items():
        yield (*path, key)
        yield from paths(below, (*path, key))


# Keys whose names sound like limits and that are none of an agent's, a tool's, a caller's or a peer's rights: sizes of
# what is shown or kept, and features that are not here.
HARMLESS = re.compile(
    r"(agents\.defaults\.(blockStreaming|bootstrap|cliBackends|contextLimits|contextInjection|humanDelay|embedded|experimental"
    r"|imageMax|pdf|mediaMax|media|music|video|image|runRetries|agentRuntime|params|identity|typing|startupContext|silent"
    r"|userTimezone|skipBootstrap|promptOverlays|voice|llm|localService|runtime|systemPrompt|cwd|verbose|model\b|utility"
    r"|decision|repoRoot|tts|reasoning|fast|auth|envelope|time|elevatedDefault|thinking|qmd|subagents|maxActive|agentDir"
    r"|skillsLimits|workspace)"
    r"|session\.(maintenance|reset|store|mainKey|typing|threadBindings|parentFork|writeLock|agentToAgent|queue|transcript)"
    r"|gateway\.(mode|port|handshake|channel|controlUi|auth|http\.(endpoints|securityHeaders))"
    r"|mcp\.(servers|sessionIdle|apps)|models\.(providers|pricing|bedrock)|logging\.(max|audit|file)"
    r"|tools\.(experimental|updatePlan|toolSearch|sessions_yield|codeMode|x_search|browser|suggest|agentToAgent|planTool))"
)


def test_every_key_that_sounds_like_a_limit_is_in_the_table() -> None:
    """A key can't come into the list of OpenClaw's without somebody saying what becomes of what it restricts."""
    lacking = {
        ".".join(path)
        for path in paths(openclaw_keys())
        if RESTRICTS.search(path[-1]) and treatment_of(path) is None and not HARMLESS.match(".".join(in_table(path)))
    }
    assert sorted(lacking) == []


def test_every_row_is_a_key() -> None:
    """A row that no file can have would be one that nobody obeys."""
    known = {".".join(each) for path in paths(openclaw_keys()) for each in (path, in_table(path))}
    own = {"logging.redactPatterns", "mcp.servers.*.codex", "sharing", "tools.github"}
    own |= {f"tools.exec.{name}" for name in ("timeoutSeconds", "network", "maxMemoryBytes", "maxProcesses")}
    assert sorted(set(TREATMENTS) - known - own) == []


# Of identities that there are in no other mode than trusted-proxy.
HELD = sorted({key for key, each in TREATMENTS.items() if each is not Treatment.SAFE} - {"gateway.auth.identityScopes"})


@pytest.mark.parametrize("key", HELD)
def test_what_restricts_is_never_named_as_ignored(place: Place, key: str) -> None:
    """Whatever value stands at a key that is obeyed, narrowed or refused: no warning says that it was ignored."""
    for value in SCALARS:
        document: Any = value
        for part in reversed(key.split(".")):
            document = {"x" if part == "*" else part: document}
        try:
            warnings = place.load(document).warnings
        except ConfigError:
            continue  # a wrong value is a fault, which is no silence either
        assert not any(re.search(rf"ignored [^;]*\b{re.escape(key)}\b", line) for line in warnings), (key, value)


REFUSED: list[tuple[dict[str, Any], str]] = [
    ({"gateway": {"tls": {"enabled": True}}}, "gateway.tls.enabled"),
    ({"gateway": {"tls": {"enabled": "yes"}}}, "gateway.tls.enabled"),
    ({"gateway": {"roles": {"default": "guest"}}}, "gateway.roles"),
    (
        {
            "gateway": {
                "trustedProxies": ["10.0.0.1"],
                "auth": {
                    "mode": "trusted-proxy",
                    "trustedProxy": {"userHeader": "X-User"},
                    "identityScopes": {"bob": ["operator.read"]},
                },
            }
        },
        "gateway.auth.identityScopes",
    ),
    (
        {"gateway": {"auth": {"trustedProxy": {"userHeader": "X", "cloudflareAccessOidc": {"issuer": "https://x"}}}}},
        "gateway.auth.trustedProxy.cloudflareAccessOidc",
    ),
    (
        {
            "env": {"MODE": "trusted-proxy"},
            "gateway": {
                "trustedProxies": ["10.0.0.1"],
                "auth": {
                    "mode": "${MODE}",
                    "trustedProxy": {"userHeader": "X-User"},
                    "identityScopes": {"bob": ["operator.read"]},
                },
            },
        },
        "gateway.auth.identityScopes",
    ),
    ({"session": {"sendPolicy": {"default": "deny"}}}, "session.sendPolicy.default"),
    (
        {"session": {"sendPolicy": {"rules": [{"action": "deny", "match": {"channel": ""}}]}}},
        "session.sendPolicy.rules[0]",
    ),
    (
        {"session": {"sendPolicy": {"rules": [{"action": "deny", "match": {"keyPrefix": "agent:"}}]}}},
        "session.sendPolicy.rules[0]",
    ),
    (
        {"tools": {"web": {"fetch": {"ssrfPolicy": {"blockedHostnames": ["internal"]}}}}},
        "tools.web.fetch.ssrfPolicy.blockedHostnames",
    ),
    (
        {"agents": {"list": [{"id": "a", "tools": {"web": {"fetch": {"ssrfPolicy": {"blockedHostnames": ["x"]}}}}}]}},
        "agents.list[0].tools.web.fetch.ssrfPolicy.blockedHostnames",
    ),
    (
        {"models": {"providers": {"h": {"baseUrl": "http://h", "request": {"proxy": {"mode": "env-proxy"}}}}}},
        "models.providers.h.request.proxy",
    ),
    (
        {"models": {"providers": {"h": {"baseUrl": "http://h", "request": {"tls": {"ca": "x"}}}}}},
        "models.providers.h.request.tls",
    ),
    ({"proxy": {"enabled": True, "proxyUrl": "http://p"}}, "proxy"),
    ({"mcp": {"servers": {"s": {"command": "x", "allowedTools": ["a"]}}}}, "mcp.servers.s.allowedTools"),
    ({"mcp": {"servers": {"s": {"command": "x", "disabled_tools": ["a"]}}}}, "mcp.servers.s.disabled_tools"),
]


@pytest.mark.parametrize(("document", "where"), REFUSED)
def test_what_cannot_be_held_stops_the_start(place: Place, document: dict[str, Any], where: str) -> None:
    """A limit that nothing here keeps is a fault that says what to do."""
    lines = place.faults(document)
    assert [line for line in lines if line.startswith(f"{where}: found ")], lines


@pytest.mark.parametrize(
    "document",
    [
        {"gateway": {"tls": {"enabled": False, "certPath": "/x"}}},
        {"gateway": {"roles": {}}},
        {"gateway": {"auth": {"identityScopes": {"bob": ["operator.read"]}}}},
        {"session": {"sendPolicy": {"default": "allow", "rules": [{"action": "deny", "match": {"channel": "x"}}]}}},
        {"tools": {"web": {"fetch": {"ssrfPolicy": {"blockedHostnames": []}}}}},
        {"proxy": {"enabled": False, "proxyUrl": "http://p"}},
        {"mcp": {"servers": {"s": {"command": "x", "alwaysAllow": ["a"], "excludeTools": []}}}},
    ],
)
def test_what_is_switched_off_starts(place: Place, document: dict[str, Any]) -> None:
    """The same keys without a limit in them are none."""
    assert place.outcome(document) == []
