"""Policies that ask for what this gateway can't do: what holds instead is never wider, and is said."""

from __future__ import annotations

from itertools import product
from typing import Any

import pytest

from app.agents.tools.policy import Policy
from app.config import Settings
from app.config.settings import ModelChoice
from tests.config.conftest import Place

SECURITIES = ("deny", "allowlist", "full")


def policy(settings: Settings, agent: str = "main", **whom: Any) -> Policy:
    return Policy(settings.tools, settings.agents[agent].tools, **whom)


def commands(place: Place, exec: dict[str, Any]) -> tuple[Policy, str]:
    """The policy under the profile coding, and what is warned."""
    settings = place.load({"tools": {"profile": "coding", "exec": exec}})
    return policy(settings), "\n".join(settings.warnings)


@pytest.mark.parametrize(
    ("exec", "security", "said"),
    [
        ({}, "full", ""),
        ({"mode": "full"}, "full", ""),
        ({"ask": "off", "host": "gateway"}, "full", ""),
        ({"host": "auto"}, "full", ""),
        ({"mode": "deny"}, "deny", ""),
        ({"mode": "allowlist"}, "allowlist", ""),
        ({"mode": "ask"}, "allowlist", 'tools.exec.mode is "ask" and nobody can be asked here'),
        ({"mode": "auto"}, "allowlist", 'tools.exec.mode is "auto" and nobody can be asked here'),
        ({"security": "full", "ask": "on-miss"}, "allowlist", 'tools.exec.ask is "on-miss"'),
        ({"security": "full", "ask": "always"}, "deny", 'tools.exec.ask is "always" and nobody can be asked here'),
        ({"host": "sandbox"}, "deny", 'tools.exec.host is "sandbox" and there is no sandbox here'),
        ({"host": "node"}, "deny", 'tools.exec.host is "node" and there is no node here'),
        ({"strictInlineEval": True}, "allowlist", "tools.exec.strictInlineEval is held by running safeBins alone"),
        ({"strictInlineEval": False}, "full", ""),
    ],
)
def test_commands(place: Place, exec: dict[str, Any], security: str, said: str) -> None:
    """Whatever would have to be asked, or run elsewhere, is denied; where that is narrower it is said, else nothing."""
    found, warned = commands(place, exec)
    assert found.exec.security == security
    assert found.allows("exec") == (security != "deny")
    assert said in warned
    assert bool(warned) == bool(said)


def test_the_narrowest_counts(place: Place) -> None:
    """Of all that is said of commands, in whichever combination, no key makes wider what another has narrowed."""
    bounds: dict[str, dict[str | None, str]] = {
        "security": {None: "full", "deny": "deny", "allowlist": "allowlist", "full": "full"},
        "mode": {None: "full", "deny": "deny", "allowlist": "allowlist", "ask": "allowlist", "full": "full"},
        "ask": {None: "full", "off": "full", "on-miss": "allowlist", "always": "deny"},
        "host": {None: "full", "gateway": "full", "sandbox": "deny"},
    }
    for values in product(*bounds.values()):
        exec = {key: value for key, value in zip(bounds, values, strict=True) if value is not None}
        most = min((bounds[key][value] for key, value in exec.items()), key=SECURITIES.index, default="full")
        assert commands(place, exec)[0].exec.security == most, exec


@pytest.mark.parametrize("key", ["list", "entries"])
def test_an_agent_narrows_and_never_widens(place: Place, key: str) -> None:
    """An agent's own keys count besides the gateway's; what the gateway denies stays denied."""
    agent = {"tools": {"exec": {"security": "full", "mode": "full", "ask": "off"}}}
    agents = {key: [{"id": "main", **agent}] if key == "list" else {"main": agent}}
    for exec, security in (({"ask": "always"}, "deny"), ({"mode": "ask"}, "allowlist"), ({"host": "node"}, "deny")):
        settings = place.load({"tools": {"profile": "coding", "exec": exec}, "agents": agents})
        assert policy(settings).exec.security == security
        own = {"tools": {"exec": exec}}
        settings = place.load(
            {
                "tools": {"profile": "coding"},
                "agents": {key: [{"id": "main", **own}] if key == "list" else {"main": own}},
            }
        )
        assert policy(settings).exec.security == security
        where = f"agents.{key}{'[0]' if key == 'list' else '.main'}.tools.exec."
        assert where in settings.warnings[0]


def test_the_defaults_of_agents_stay(place: Place) -> None:
    """What agents.defaults narrows, an agent that says something else of commands doesn't undo."""
    agents = {
        "defaults": {"tools": {"exec": {"ask": "always"}}},
        "list": [{"id": "main", "tools": {"exec": {"security": "full"}}}],
    }
    settings = place.load({"tools": {"profile": "coding"}, "agents": agents})
    assert policy(settings).exec.security == "deny"
    assert 'agents.defaults.tools.exec.ask is "always"' in settings.warnings[0]


@pytest.mark.parametrize(
    ("defaults", "security", "bins"),
    [
        ({"security": "deny"}, "deny", ("cat", "python3")),
        ({"mode": "deny"}, "deny", ("cat", "python3")),
        ({"ask": "always"}, "deny", ("cat", "python3")),
        ({"host": "sandbox"}, "deny", ("cat", "python3")),
        ({"security": "allowlist", "safeBins": ["cat", "ls"]}, "allowlist", ("cat",)),
        ({"strictInlineEval": True}, "allowlist", ("cat",)),
        ({"safeBinProfiles": {"cat": {}}}, "full", ("python3",)),
        ({"security": "allowlist", "safeBins": []}, "allowlist", ()),
    ],
)
def test_the_same_key_of_an_agent_replaces_nothing(
    place: Place, defaults: dict[str, Any], security: str, bins: tuple[str, ...]
) -> None:
    """What agents.defaults says of commands holds beside an agent's own, whichever key the agent has."""
    free = {"security": "full", "mode": "full", "ask": "off", "host": "gateway", "strictInlineEval": False}
    own = {"exec": {**free, "safeBins": ["cat", "python3"], "safeBinProfiles": {}, "timeoutSeconds": 90}}
    agents = {
        "defaults": {"tools": {"exec": {**defaults, "timeoutSeconds": 60}}},
        "list": [{"id": "main", "tools": own}],
    }
    found = policy(place.load({"tools": {"profile": "coding"}, "agents": agents})).exec
    assert (found.security, found.safe_bins, found.timeout_seconds) == (security, bins, 60)


def test_an_agents_allow_does_not_replace_that_of_the_defaults(place: Place) -> None:
    """Both are ceilings, and the refusal names the one that forbids."""
    agents = {
        "defaults": {"tools": {"allow": ["read", "ls"]}},
        "list": [{"id": "main", "tools": {"allow": ["read", "exec"]}}, {"id": "other"}],
    }
    settings = place.load({"tools": {"profile": "coding"}, "agents": agents})
    names = ("read", "ls", "exec")
    assert [name for name in names if policy(settings).allows(name)] == ["read"]
    assert [name for name in names if policy(settings, "other").allows(name)] == ["read", "ls"]
    refusal = policy(settings).refusal("exec")
    assert refusal is not None
    assert refusal.reason == "forbidden by agents.defaults.tools.allow"


def test_interpreters_are_not_safe(place: Place) -> None:
    """Under strictInlineEval no program runs that takes its orders from its arguments, whoever lists it."""
    runs_others = ["luajit", "tcsh", "emacs", "npx", "uv", "jshell", "git", "timeout", "setsid", "doas", "/usr/bin/env"]
    bins = ["cat", "python3", "node", "awk", "python3.11", "bash", *runs_others]
    found, _ = commands(place, {"strictInlineEval": True, "safeBins": bins})
    assert found.exec.safe_bins == ("cat",)


def test_a_program_with_a_profile_is_not_safe(place: Place) -> None:
    """Limits of arguments can't be kept here: such a program runs under no allowlist, and that is said."""
    exec = {"security": "allowlist", "safeBins": ["cat", "jq"], "safeBinProfiles": {"jq": {"maxPositional": 1}}}
    found, warned = commands(place, exec)
    assert found.exec.safe_bins == ("cat",)
    assert "tools.exec.safeBinProfiles limits arguments, which is not done here: jq run under no allowlist" in warned


# Models.

BY_PROVIDER = {
    "tools": {
        "profile": "coding",
        "byProvider": {
            "house": {"profile": "minimal"},
            "cloud/big": {"deny": ["exec", "write"]},
            "x/*": {"allow": ["ls"]},
        },
    }
}


@pytest.mark.parametrize(
    ("choice", "allowed", "denied"),
    [
        (ModelChoice("cloud/big"), {"read", "edit", "web_fetch"}, {"exec", "write"}),
        (ModelChoice("cloud/small"), {"exec", "write"}, set()),
        (ModelChoice("Cloud/BIG"), {"read"}, {"exec"}),
        (ModelChoice("house/any"), {"session_status"}, {"read", "exec", "write", "web_fetch"}),
        (ModelChoice("cloud/small", ("house/any",)), {"session_status"}, {"read", "exec"}),
        (ModelChoice("cloud/big", ("cloud/small",)), {"read"}, {"exec", "write"}),
        (ModelChoice("x/y"), {"ls"}, {"read", "exec"}),
        (None, set(), {"exec", "read", "session_status"}),
    ],
)
def test_a_policy_for_models(place: Place, choice: ModelChoice | None, allowed: set[str], denied: set[str]) -> None:
    """It holds where one of its models may answer, as first choice or fallback, and where that isn't known."""
    found = policy(place.load(BY_PROVIDER), choice=choice)
    assert {name for name in allowed | denied if found.allows(name)} == allowed
    for name in denied:
        refusal = found.refusal(name)
        assert refusal is not None
        assert refusal.reason.startswith("forbidden by tools.byProvider")


@pytest.mark.parametrize("name", ["z.ai", "ZAI", "glm[1]", "Fast", " zai/glm[1] ", "glm*", "zai/*"])
def test_a_model_under_another_name(place: Place, name: str) -> None:
    """A policy for models holds however its key writes the provider or the model, by an alias too."""
    provider = {"baseUrl": "http://h/v1", "models": [{"id": "glm[1]"}]}
    document = {
        "models": {"providers": {"zai": provider, "house": provider}},
        "agents": {"defaults": {"model": "zai/glm[1]", "models": {"zai/glm[1]": {"alias": "fast"}}}},
        "tools": {"profile": "coding", "byProvider": {name: {"deny": ["exec"]}}},
    }
    settings = place.load(document)
    assert not policy(settings, choice=settings.agents["main"].model).allows("exec")
    assert policy(settings, choice=ModelChoice("house/other")).allows("exec")


# Callers.


def test_a_policy_for_every_sender(place: Place) -> None:
    """What is said of all senders is said of all callers."""
    settings = place.load({"tools": {"profile": "coding", "toolsBySender": {"*": {"deny": ["exec"]}}}})
    assert not policy(settings).allows("exec")
    assert not policy(settings, identity="bob").allows("exec")
    assert settings.warnings == ()


def test_a_policy_for_a_user_of_the_proxy(place: Place) -> None:
    """Where a proxy names its users, a policy for one of them is theirs alone."""
    gateway = {"trustedProxies": ["10.0.0.1"], "auth": {"mode": "trusted-proxy", "trustedProxy": {"userHeader": "X-U"}}}
    senders = {"id:bob": {"deny": ["exec"]}, "username:eve": {"allow": ["read"]}}
    settings = place.load({"gateway": gateway, "tools": {"profile": "coding", "toolsBySender": senders}})
    assert not policy(settings, identity="bob").allows("exec")
    assert policy(settings, identity="ann").allows("exec")
    assert policy(settings, identity="eve").allows("read")
    assert not policy(settings, identity="eve").allows("write")


@pytest.mark.parametrize("sender", ["id:Bob", "USERNAME:bob", " id: @bob ", "username:bob@example.org"])
def test_a_user_of_the_proxy_in_another_spelling(place: Place, sender: str) -> None:
    """What is denied to somebody is denied under every spelling of the name, and to callers without one."""
    gateway = {"trustedProxies": ["10.0.0.1"], "auth": {"mode": "trusted-proxy", "trustedProxy": {"userHeader": "X-U"}}}
    tools = {"profile": "coding", "toolsBySender": {sender: {"deny": ["exec"]}}}
    settings = place.load({"gateway": gateway, "tools": tools})
    assert not policy(settings, identity="bob").allows("exec")
    assert not policy(settings, identity=None).allows("exec")
    assert policy(settings, identity="ann").allows("exec")
    assert settings.warnings == ()


@pytest.mark.parametrize("sender", ["id:*", "id:", "username:@", "*:bob", "name:bob"])
def test_a_sender_that_means_nobody_in_particular(place: Place, sender: str) -> None:
    """Behind a proxy, too, such a policy holds for every caller."""
    gateway = {"trustedProxies": ["10.0.0.1"], "auth": {"mode": "trusted-proxy", "trustedProxy": {"userHeader": "X-U"}}}
    tools = {"profile": "coding", "toolsBySender": {sender: {"deny": ["exec"]}}}
    settings = place.load({"gateway": gateway, "tools": tools})
    assert not policy(settings, identity="ann").allows("exec")
    assert "holds for every caller" in settings.warnings[0]


@pytest.mark.parametrize("sender", ["id:bob", "username:bob", "name:Bob", "bob"])
def test_a_policy_for_somebody_who_cannot_be_told_apart(place: Place, sender: str) -> None:
    """Where callers have no names, what is denied to one of them is denied to all, and that is said."""
    settings = place.load({"tools": {"profile": "coding", "toolsBySender": {sender: {"deny": ["exec"]}}}})
    assert not policy(settings).allows("exec")
    assert "holds for every caller" in settings.warnings[0]


@pytest.mark.parametrize("sender", ["channel:telegram", "e164:+4912345"])
def test_a_policy_for_senders_of_chats(place: Place, sender: str) -> None:
    """A gateway's caller is none of them: their policy is named, and has no effect."""
    settings = place.load({"tools": {"profile": "coding", "toolsBySender": {sender: {"deny": ["exec"]}}}})
    assert policy(settings).allows("exec")
    assert "ignored tools.toolsBySender" in settings.warnings[0]


# Sandboxes, the web and sessions.


@pytest.mark.parametrize(
    ("sandbox", "denied"),
    [
        ({"mode": "off", "workspaceAccess": "none"}, set()),
        ({"workspaceAccess": "ro"}, set()),
        ({"mode": "all", "workspaceAccess": "rw", "sessionToolsVisibility": "all"}, {"exec"}),
        ({"mode": "all", "workspaceAccess": "rw"}, {"exec", "sessions_list", "sessions_send"}),
        ({"mode": "non-main", "workspaceAccess": "ro"}, {"exec", "write", "edit", "sessions_list", "sessions_send"}),
        ({"mode": "all"}, {"exec", "write", "edit", "read", "ls", "sessions_list", "sessions_send"}),
    ],
)
def test_a_sandbox_that_is_not_here(place: Place, sandbox: dict[str, Any], denied: set[str]) -> None:
    """What should happen in one does not happen; switched off it says nothing."""
    names = {"exec", "write", "edit", "read", "ls", "sessions_list", "sessions_send", "web_fetch", "session_status"}
    for agents in ({"defaults": {"sandbox": sandbox}}, {"list": [{"id": "main", "sandbox": sandbox}]}):
        settings = place.load({"tools": {"profile": "coding"}, "agents": agents})
        assert {name for name in names if not policy(settings).allows(name)} == denied
        assert ("there is no sandbox here" in "".join(settings.warnings)) == bool(denied)


def test_a_sandbox_names_the_tools_that_its_policy_denies(place: Place) -> None:
    """One warning has all that an agent loses, also by ``tools.sandbox.tools``."""
    sandbox = {"mode": "all", "workspaceAccess": "rw"}
    document = {"tools": {"sandbox": {"tools": {"deny": ["web_fetch"]}}}, "agents": {"defaults": {"sandbox": sandbox}}}
    (warning,) = place.load(document).warnings
    assert "web_fetch (tools.sandbox.tools)" in warning


def test_tools_of_a_sandbox(place: Place) -> None:
    """Policies for sandboxed agents count for them, wherever they stand, and for no others."""
    agents = {
        "defaults": {"sandbox": {"mode": "all", "workspaceAccess": "rw"}},
        "list": [
            {"id": "main", "tools": {"sandbox": {"tools": {"deny": ["ls"]}}}},
            {"id": "free", "sandbox": {"mode": "off"}},
        ],
    }
    tools = {"profile": "coding", "sandbox": {"tools": {"deny": ["web_fetch"], "allow": ["read", "ls", "web_fetch"]}}}
    settings = place.load({"tools": tools, "agents": agents})
    assert [name for name in ("read", "ls", "web_fetch", "write") if policy(settings).allows(name)] == ["read"]
    assert all(policy(settings, "free").allows(name) for name in ("read", "ls", "web_fetch", "write", "exec"))


@pytest.mark.parametrize(
    ("tools", "denied"),
    [
        ({"web": {"fetch": {"enabled": False}}}, {"web_fetch"}),
        ({"web": {"fetch": {"enabled": True}}}, set()),
        ({"sessions": {"visibility": "self"}}, {"sessions_list", "sessions_history", "sessions_send"}),
        ({"sessions": {"visibility": "tree"}}, {"sessions_list", "sessions_history", "sessions_send"}),
        ({"sessions": {"visibility": "agent"}}, set()),
        ({"sessions": {"visibility": "all"}}, set()),
        ({"fs": {"workspaceOnly": True}}, set()),
    ],
)
def test_what_is_switched_off_is_not_offered(place: Place, tools: dict[str, Any], denied: set[str]) -> None:
    """For the gateway and for an agent alike."""
    names = {"web_fetch", "sessions_list", "sessions_history", "sessions_send", "read", "session_status"}
    for document in (
        {"tools": {"profile": "coding", **tools}},
        {"tools": {"profile": "coding"}, "agents": {"list": [{"id": "main", "tools": tools}]}},
    ):
        assert {name for name in names if not policy(place.load(document)).allows(name)} == denied


@pytest.mark.parametrize(
    ("seconds", "holds"), [(600, 600), (604_800, 604_800), (604_801, 604_800), (315_360_000, 604_800)]
)
def test_a_time_without_end_is_a_week(place: Place, seconds: int, holds: int) -> None:
    """Files that mean "for ever" start, and a run ends all the same."""
    settings = place.load({"agents": {"defaults": {"timeoutSeconds": seconds}}})
    assert settings.agents["main"].timeout_seconds == holds
    assert bool(settings.warnings) == (seconds > holds)


# Names of OpenClaw's.


@pytest.mark.parametrize(
    ("name", "denied"),
    [
        ("bundle-mcp", {"notes__create"}),
        ("group:plugins", {"notes__create"}),
        ("group:openclaw", {"web_fetch", "sessions_list", "session_status"}),
        ("group:agents", {"agents_list"}),
        ("Group:Plugins", {"notes__create"}),
        ("sessions", {"sessions_list", "session_status"}),
        ("bash", {"exec"}),
    ],
)
def test_groups_of_openclaw_deny_what_is_like_it(place: Place, name: str, denied: set[str]) -> None:
    """Whoever denies all plugins denies the tools of MCP servers, under the name that they know."""
    found = policy(place.load({"tools": {"profile": "full", "deny": [name]}}))
    names = {"notes__create", "web_fetch", "sessions_list", "session_status", "exec", "read", "agents_list"}
    assert {each for each in names if not found.allows(each)} >= denied
    assert found.allows("read")


def test_groups_of_openclaw_allow_nothing_more(place: Place) -> None:
    """In a list of what is allowed such a group is empty, which is narrower."""
    found = policy(place.load({"tools": {"profile": "full", "allow": ["group:openclaw", "read"]}}))
    assert [name for name in ("read", "web_fetch", "exec") if found.allows(name)] == ["read"]
