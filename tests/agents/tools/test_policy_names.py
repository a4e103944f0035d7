"""Names in policies that mean nothing here."""

from __future__ import annotations

from dataclasses import replace

import pytest

from app.agents.tools.policy_names import name_warnings
from app.config.settings import Limit, McpServer, Tools
from tests.agents.scene import MAIN, settings


def test_unknown_names_are_told() -> None:
    """With who wrote them; groups, patterns, OpenClaw's groups that deny and tools of servers are none."""
    good = ("READ", "group:fs", "bash", "se*", "github__create", "*")
    agent = replace(MAIN, tools=Tools(allow=("reed", *good), also_allow=("group:nothing",)))
    denied = ("shell", "shell", "bundle-mcp", "group:openclaw")
    assert list(name_warnings(replace(settings(agent), tools=Tools(deny=denied)))) == [
        "tools: there is no tool 'shell', so nothing is denied by that name; commands are run by exec",
        "agent main: there is no tool 'reed'; the name has no effect",
        "agent main: there is no tool 'group:nothing'; the name has no effect",
    ]


def test_tools_of_openclaw_are_told_together() -> None:
    """A file may name many of them: that is one line, whoever names them, limits too."""
    limit = Limit("tools.byProvider.p", deny=("cron",))
    agent = replace(MAIN, tools=Tools(allow=("read", "memory_search"), deny=("Browser",)))
    assert list(name_warnings(replace(settings(agent), tools=Tools(deny=("browser",), limits=(limit,))))) == [
        "policies name tools of OpenClaw's that there are not here: browser, cron, memory_search, Browser"
    ]


def test_a_pattern_for_tools_of_servers_is_not_unknown() -> None:
    """What the servers offer isn't known before they run."""
    agent = replace(MAIN, tools=Tools(allow=("github*",)))
    alone = settings(agent)
    assert list(name_warnings(alone)) == ["agent main: there is no tool 'github*'; the name has no effect"]
    assert list(name_warnings(replace(alone, mcp_servers={"github": McpServer("github", command="x")}))) == []


@pytest.mark.parametrize(
    "name", ["shell*", "run_*", "Bash(rm:*)", "e?ec", "[e]xec", "all", "mcp__other__*", "other__x"]
)
def test_a_name_that_denies_nothing_is_told_beside_servers(name: str) -> None:
    """Of a server's tools it is known how they begin."""
    configured = replace(settings(), mcp_servers={"github": McpServer("github", command="x")})
    assert list(name_warnings(replace(configured, tools=Tools(deny=(name,))))) == [
        f"tools: there is no tool {name!r}, so nothing is denied by that name; commands are run by exec"
    ]


@pytest.mark.parametrize("name", ["github", "git*", "*delete*", "github__delete", "mcp__github", "group:*"])
def test_a_name_that_may_deny_something_is_not_told(name: str) -> None:
    """What a server offers isn't known before it runs."""
    configured = replace(settings(), mcp_servers={"github": McpServer("github", command="x")})
    assert list(name_warnings(replace(configured, tools=Tools(deny=(name,))))) == []


def test_that_grep_goes_with_read_is_told() -> None:
    """It is more than the file says."""
    assert list(name_warnings(replace(settings(), tools=Tools(deny=("Read",))))) == [
        "tools: grep is denied with read, because it shows what files hold"
    ]


def test_a_policy_for_no_model_is_told() -> None:
    """A provider that is written wrong, or isn't there, narrows nothing."""
    limits = (
        Limit("tools.byProvider.fake", deny=("exec",), model="fake"),
        Limit("tools.byProvider.m", deny=("exec",), model="M"),
        Limit("tools.byProvider.fkae", deny=("exec",), model="fkae"),
        Limit("tools.byProvider.fast", deny=("exec",), model="fast"),
        Limit("tools.byProvider.fast", deny=("exec",), model="fake/m"),
    )
    assert list(name_warnings(replace(settings(), tools=Tools(limits=limits)))) == [
        "tools.byProvider.fkae: no provider and no model of this configuration is called so; it narrows nothing"
    ]
