"""Keys that OpenClaw had under other names."""

from __future__ import annotations

import copy
from typing import Any

import pytest

from app.config.faults import Report
from app.config.migrations import migrated
from tests.config.conftest import Place

PROVIDERS = {"providers": {"h": {"baseUrl": "http://h/v1"}}}


def moved(document: dict[str, Any]) -> tuple[dict[str, Any], list[str]]:
    """The document of today, and what was said of it."""
    report = Report(document)
    return migrated(document, report), report.moved


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ({"agent": {"model": "h/m"}}, {"agents": {"defaults": {"model": {"primary": "h/m"}}}}),
        (
            {"agent": {"model": "h/m", "modelFallbacks": ["h/n"]}},
            {"agents": {"defaults": {"model": {"primary": "h/m", "fallbacks": ["h/n"]}}}},
        ),
        ({"agent": {"modelFallbacks": ["h/n"]}}, {"agents": {"defaults": {"model": {"fallbacks": ["h/n"]}}}}),
        ({"agent": {"allowedModels": ["h/m", "h/n"]}}, {"agents": {"defaults": {"models": {"h/m": {}, "h/n": {}}}}}),
        ({"agent": {"modelAliases": {"x": "h/m"}}}, {"agents": {"defaults": {"models": {"h/m": {"alias": "x"}}}}}),
        ({"agent": {"imageModel": "h/m"}}, {"agents": {"defaults": {"imageModel": {"primary": "h/m"}}}}),
        ({"agent": {"workspace": "w", "timeoutSeconds": 5, "maxConcurrent": 2}},
         {"agents": {"defaults": {"workspace": "w", "timeoutSeconds": 5, "maxConcurrent": 2}}}),
        ({"agent": {"tools": {"allow": ["read"], "deny": ["exec"]}}}, {"tools": {"allow": ["read"], "deny": ["exec"]}}),
        ({"agent": {"elevated": {"enabled": True}}}, {"tools": {"elevated": {"enabled": True}}}),
        ({"agent": {"bash": {"security": "deny"}}}, {"tools": {"exec": {"security": "deny"}}}),
        ({"tools": {"bash": {"security": "deny"}}}, {"tools": {"exec": {"security": "deny"}}}),
        ({"agent": {"sandbox": {"mode": "all", "tools": {"deny": ["read"]}}}},
         {"tools": {"sandbox": {"tools": {"deny": ["read"]}}}, "agents": {"defaults": {"sandbox": {"mode": "all"}}}}),
        ({"agent": {"subagents": {"tools": {"deny": ["x"]}}}}, {"tools": {"subagents": {"tools": {"deny": ["x"]}}}}),
        ({"routing": {"agents": {"a": {"workspace": "w"}}}}, {"agents": {"list": [{"id": "a", "workspace": "w"}]}}),
        ({"routing": {"agents": {"a": {}}}, "agents": {"entries": {"b": {}}}},
         {"agents": {"entries": {"b": {}, "a": {}}}}),
        ({"routing": {"agents": {"a": {"sandbox": {"mode": "all", "tools": {"deny": ["read"]}}}}}},
         {"agents": {"list": [
             {"id": "a", "sandbox": {"mode": "all"}, "tools": {"sandbox": {"tools": {"deny": ["read"]}}}}]}}),
        ({"routing": {"defaultAgentId": "a"}}, {"agents": {"list": [{"id": "a", "default": True}]}}),
        ({"routing": {"agentToAgent": {"enabled": True}}}, {"tools": {"agentToAgent": {"enabled": True}}}),
        ({"defaultModel": "h/m"}, {"agents": {"defaults": {"model": "h/m"}}}),
        ({"gateway": {"token": "t"}}, {"gateway": {"auth": {"token": "t", "mode": "token"}}}),
        ({"session": {"idleMinutes": 5}}, {"session": {"reset": {"idleMinutes": 5}}}),
        ({"session": {"maintenance": {"pruneDays": 7}}}, {"session": {"maintenance": {"pruneAfter": "7d"}}}),
        ({"tools": {"exec": {"timeoutSec": 60}}}, {"tools": {"exec": {"timeoutSeconds": 60}}}),
        ({"agents": {"list": [{"id": "a", "tools": {"exec": {"timeoutSec": 60}}}]}},
         {"agents": {"list": [{"id": "a", "tools": {"exec": {"timeoutSeconds": 60}}}]}}),
        ({"mcp": {"servers": {"s": {"disabled": True, "timeout": 1.5, "workingDirectory": "w"}}}},
         {"mcp": {"servers": {"s": {"enabled": False, "requestTimeoutMs": 1500, "cwd": "w"}}}}),
    ],
)  # fmt: skip
def test_an_old_key_is_read_as_the_one_of_today(old: dict[str, Any], new: dict[str, Any]) -> None:
    """What was said under another name holds, each move is told, and the document that was read stays as it is."""
    before = copy.deepcopy(old)
    document, said = moved(old)
    assert document == new
    assert said
    assert old == before
    assert moved(document) == (new, [])


@pytest.mark.parametrize(
    ("written", "read"),
    [*((host, "lan") for host in ("0.0.0.0", "::", "[::]", "*")),
     *((host, "loopback") for host in ("127.0.0.1", "localhost", "::1", "[::1]"))],
)  # fmt: skip
def test_hosts_that_bind_took(place: Place, written: str, read: str) -> None:
    """An address in place of the word is read as the word."""
    settings = place.load({"gateway": {"bind": written}})
    assert settings.gateway.bind == read
    assert f'gateway.bind "{written}" read as "{read}"' in settings.warnings[0]


def test_what_is_denied_twice_is_joined(place: Place) -> None:
    """Old and new names may both deny; nothing of either is lost."""
    settings = place.load({"agent": {"tools": {"deny": ["exec"]}}, "tools": {"deny": ["write", "exec"]}})
    assert settings.tools.deny == ("write", "exec")


@pytest.mark.parametrize(
    ("document", "where"),
    [
        ({"tools": {"bash": {"security": "deny"}, "exec": {"security": "full"}}}, "tools.bash.security"),
        ({"agent": {"tools": {"allow": ["read"]}}, "tools": {"allow": ["exec"]}}, "agent.tools.allow"),
        ({"gateway": {"token": "a", "auth": {"token": "b"}}}, "gateway.token"),
        ({"agent": {"allowedModels": "h/m"}}, "agent.allowedModels"),
    ],
)
def test_a_contradiction_is_a_fault(place: Place, document: dict[str, Any], where: str) -> None:
    """Two values for one key stop the start, at the place of the old one: nobody knows which was meant."""
    assert where in [line.partition(":")[0] for line in place.faults(document)]


def test_a_fault_names_the_key_that_the_file_has(place: Place) -> None:
    """A wrong value is told at its own name, not at the one that it is read as."""
    (line,) = place.faults({"agent": {"timeoutSeconds": "long"}})
    assert line.startswith('agent.timeoutSeconds: found "long"')


@pytest.mark.parametrize("junk", [None, 5, "x", [], [1], {"a": 1}])
@pytest.mark.parametrize(
    "path", [("agent",), ("agent", "tools"), ("routing",), ("routing", "agents"), ("agents",), ("agents", "list"),
             ("agents", "entries"), ("mcp", "servers"), ("session",), ("gateway",), ("tools",), ("tools", "bash")],
)  # fmt: skip
def test_whatever_stands_there_is_no_crash(place: Place, path: tuple[str, ...], junk: Any) -> None:
    """A value of another kind ends in a fault or a warning with its path."""
    document: Any = {"agent": {"tools": {"deny": ["x"]}, "model": "h/m"}, "models": PROVIDERS}
    inner = document
    for key in path[:-1]:
        inner = inner.setdefault(key, {})
    inner[path[-1]] = junk
    place.outcome(document)


def test_sections_of_before_are_never_unknown(place: Place) -> None:
    """What was never read here, and stands elsewhere today, is ignored with its name."""
    old = ("memorySearch", "heartbeat", "identity", "whatsapp", "telegram", "discord", "slack", "signal", "imessage")
    settings = place.load({name: {"x": 1} for name in old})
    assert all(name in settings.warnings[0] for name in old)
