"""Which tools an agent may use."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import settings as examples
from hypothesis import strategies as st

from app.agents.tools.policy import GROUPS, PROFILES, Policy
from app.config.settings import Exec, Tools

BUILT_IN = [name for group, names in GROUPS.items() if group != "group:mcp" for name in names]
NAMES = [*BUILT_IN, "github__create_issue", "files__Read"]


def allowed(gateway: Tools, agent: Tools | None = None) -> set[str]:
    policy = Policy(gateway, agent or Tools())
    return {name for name in NAMES if policy.allows(name)}


# What a policy means.


def test_without_a_word_the_profile_is_minimal() -> None:
    """An operator who says nothing gives nothing that reads or changes anything."""
    assert allowed(Tools()) == {"session_status"}


@pytest.mark.parametrize(
    ("profile", "expected"),
    [
        ("minimal", {"session_status"}),
        (
            "readonly",
            {"read", "ls", "find", "grep", "session_status", "sessions_list", "sessions_history", "agents_list"},
        ),
        ("coding", set(NAMES)),
        ("full", set(NAMES)),
    ],
)
def test_profiles(profile: str, expected: set[str]) -> None:
    """Each profile grants what its name says; readonly neither changes nor reaches out."""
    assert allowed(Tools(profile=profile)) == expected


def test_an_agents_profile_replaces_the_gateways() -> None:
    """In both directions: the ceilings are allow and deny, not the profile."""
    assert allowed(Tools(profile="full"), Tools(profile="minimal")) == {"session_status"}
    assert allowed(Tools(profile="minimal"), Tools(profile="full")) == set(NAMES)


def test_also_allow_widens_the_profile() -> None:
    """From the gateway and from the agent."""
    both = allowed(Tools(also_allow=("read",)), Tools(also_allow=("group:web",)))
    assert both == {"session_status", "read", "web_fetch"}


def test_allow_is_a_ceiling() -> None:
    """It grants nothing by itself, and also_allow does not reach beyond it."""
    assert allowed(Tools(profile="readonly", allow=("read", "exec"))) == {"read"}
    assert allowed(Tools(allow=("session_status",), also_allow=("exec",))) == {"session_status"}
    assert allowed(Tools(profile="full", allow=("group:fs",)), Tools(allow=("read", "exec"))) == {"read"}


def test_an_empty_allow_allows_nothing() -> None:
    """Unlike one that is absent."""
    assert allowed(Tools(profile="full", allow=())) == set()


@pytest.mark.parametrize(
    "name", ["exec", "EXEC", " exec ", "bash", "Bash", "group:runtime", " Group:Runtime", "ex*", "*"]
)
def test_deny_always_wins(name: str) -> None:
    """By name in any case and with space around, by OpenClaw's name, by group or pattern; of gateway and agent."""
    for gateway, agent in ((Tools("full", deny=(name,)), Tools("full")), (Tools("full"), Tools(deny=(name,)))):
        assert "exec" not in allowed(gateway, replace(agent, also_allow=("exec",)))


def test_tools_of_mcp_servers_are_a_group() -> None:
    """Whole servers and single tools can be named, too, whatever their case."""
    assert allowed(Tools(also_allow=("group:mcp",))) == {"session_status", "github__create_issue", "files__Read"}
    assert allowed(Tools(also_allow=("GitHub__*",))) == {"session_status", "github__create_issue"}
    assert allowed(Tools(also_allow=("files__read",))) == {"session_status", "files__Read"}
    assert "read" in allowed(Tools(profile="full", deny=("*__*",)))


@pytest.mark.parametrize(
    ("tools", "expected"),
    [
        (Tools(), False),
        (Tools("readonly"), False),
        (Tools("coding"), True),
        (Tools("full"), True),
        (Tools(also_allow=("github__create_issue",)), True),
        (Tools(also_allow=("git*",)), True),
    ],
)
def test_whether_servers_are_needed_at_all(tools: Tools, expected: bool) -> None:
    """No server is started for agents that could not use one."""
    assert Policy(Tools(), tools).may_allow_mcp is expected


# How commands may run.


@pytest.mark.parametrize(
    ("gateway", "agent", "profile", "expected"),
    [
        (None, None, "coding", "full"),
        (None, None, "minimal", "allowlist"),
        (None, "full", "minimal", "full"),
        ("allowlist", None, "full", "allowlist"),
        ("allowlist", "full", "full", "allowlist"),
        ("full", "allowlist", "full", "allowlist"),
        ("deny", "full", "full", "deny"),
        ("full", "deny", "full", "deny"),
    ],
)
def test_the_narrower_security_holds(gateway: str | None, agent: str | None, profile: str, expected: str) -> None:
    """What the gateway says is the most; where nobody says anything the profile decides."""
    policy = Policy(Tools(profile, exec=Exec(gateway)), Tools(exec=Exec(agent)))
    assert policy.exec.security == expected


def test_denied_exec_is_no_tool() -> None:
    """It is not even offered."""
    assert "exec" not in allowed(Tools("full", exec=Exec("deny")))


@pytest.mark.parametrize(
    ("gateway", "agent", "expected"),
    [
        (Exec(safe_bins=("ls", "jq")), Exec(), ("ls", "jq")),
        (Exec(), Exec(safe_bins=("git",)), ("git",)),
        (Exec(safe_bins=("ls", "jq")), Exec(safe_bins=("jq", "git")), ("jq",)),
        (Exec("allowlist"), Exec(safe_bins=("git",)), ()),
        (Exec("full"), Exec("allowlist", safe_bins=("git",)), ("git",)),
    ],
)
def test_safe_bins_of_both(gateway: Exec, agent: Exec, expected: tuple[str, ...]) -> None:
    """Where the gateway lists programs an agent's list only narrows it."""
    assert Policy(Tools(exec=gateway), Tools(exec=agent)).exec.safe_bins == expected


@pytest.mark.parametrize(
    ("gateway", "agent", "expected"), [(30, 60, 30), (60, 30, 30), (None, 30, 30), (30, None, 30), (None, None, None)]
)
def test_the_shorter_time_holds(gateway: int | None, agent: int | None, expected: int | None) -> None:
    """An agent's timeout never exceeds the gateway's."""
    policy = Policy(Tools(exec=Exec(timeout_seconds=gateway)), Tools(exec=Exec(timeout_seconds=agent)))
    assert policy.exec.timeout_seconds == expected


# Names that deny.


@pytest.mark.parametrize("name", ["github", "GitHub ", "github*", "mcp__github", "mcp__github__*", "mcp__*"])
def test_a_server_is_denied_by_its_name(name: str) -> None:
    """Bare, in any case, or as other products call its tools; whatever else it might be the name of."""
    assert "github__create_issue" not in allowed(Tools("full", deny=(name,)))


def test_a_servers_name_denies_no_other() -> None:
    """Nor does it allow anything."""
    assert allowed(Tools("full", deny=("github",))) == set(NAMES) - {"github__create_issue"}
    assert allowed(Tools("minimal", also_allow=("github",))) == {"session_status"}


@pytest.mark.parametrize(
    ("name", "denied"),
    [
        ("group:*", set(NAMES)),
        ("Group:*", set(NAMES)),
        ("group:run*", {"exec"}),
        ("group:plug*", {"github__create_issue", "files__Read"}),
        ("bundle-*", {"github__create_issue", "files__Read"}),
        ("ba*", {"exec"}),
        ("read", {"read", "grep"}),
    ],
)
def test_patterns_for_groups_deny(name: str, denied: set[str]) -> None:
    """A pattern stands for each group, and each other name of a tool, that is like it."""
    assert allowed(Tools("full", deny=(name,))) == set(NAMES) - denied


@pytest.mark.parametrize(
    "name", ["python3.11", "/usr/bin/python3", "Python", "python.exe", "luajit-2.1.0-beta3", "/opt/bin/node18"]
)
def test_a_barred_program_is_known_by_other_names(name: str) -> None:
    """Whatever its folder and its version."""
    barred = Exec("allowlist", (name, "cat", "sha256sum"), barred=("python", "node", "luajit"))
    assert Policy(Tools("coding", exec=barred), Tools()).exec.safe_bins == ("cat", "sha256sum")


# Any policy.

WORDS = st.sampled_from(
    [
        *NAMES,
        *GROUPS,
        "bash",
        "Exec",
        "READ",
        "*",
        "s*",
        "*e*",
        "sessions_*",
        "github__*",
        "*__*",
        "nothing",
        "group:no",
    ]
)
LISTS = st.lists(WORDS, max_size=4).map(tuple)
BINS = st.lists(st.sampled_from(["ls", "jq", "git", "cat"]), max_size=3, unique=True).map(tuple)
POLICIES = st.builds(
    Tools,
    profile=st.none() | st.sampled_from(list(PROFILES)),
    allow=st.none() | LISTS,
    also_allow=LISTS,
    deny=LISTS,
    exec=st.builds(
        Exec,
        security=st.sampled_from([None, "deny", "allowlist", "full"]),
        safe_bins=BINS,
        timeout_seconds=st.none() | st.integers(1, 600),
    ),
)
WIDTH = {"deny": 0, "allowlist": 1, "full": 2}


def meant_by(words: tuple[str, ...]) -> set[str]:
    """The tools that names, groups and patterns mean, told without the policy: full profile, nothing denied."""
    found = set()
    for word in words:
        lowered = {"bash": "exec"}.get(word.lower(), word.lower())
        for pattern in GROUPS.get(lowered, (lowered,)):
            parts = pattern.split("*")
            for name in NAMES:
                if matches(name.lower(), parts):
                    found.add(name)
    return found


def denied_by(words: tuple[str, ...]) -> set[str]:
    """The same of names that deny: with read goes what else shows what files hold."""
    return meant_by(words) | ({"grep"} if "read" in (word.lower() for word in words) else set())


def matches(name: str, parts: list[str]) -> bool:
    """``*`` for anything, written out."""
    if len(parts) == 1:
        return name == parts[0]
    if not name.startswith(parts[0]):
        return False
    name = name[len(parts[0]) :]
    for part in parts[1:-1]:
        at = name.find(part)
        if at < 0:
            return False
        name = name[at + len(part) :]
    return name.endswith(parts[-1])


@examples(deadline=None, max_examples=500)
@given(POLICIES, POLICIES)
def test_an_agent_never_has_more_than_the_gateway_lets(gateway: Tools, agent: Tools) -> None:
    """No tool that the gateway denies or leaves out of its allow, and no wider commands than it says."""
    tools = allowed(gateway, agent)
    assert not tools & meant_by(gateway.deny)
    assert not tools & meant_by(agent.deny)
    if gateway.allow is not None:
        assert tools <= meant_by(gateway.allow)
    policy = Policy(gateway, agent).exec
    if gateway.exec.security is not None:
        assert policy.security is not None
        assert WIDTH[policy.security] <= WIDTH[gateway.exec.security]
    if gateway.exec.security == "allowlist":
        assert set(policy.safe_bins) <= set(gateway.exec.safe_bins)
    if gateway.exec.timeout_seconds is not None:
        assert policy.timeout_seconds is not None
        assert policy.timeout_seconds <= gateway.exec.timeout_seconds
    assert ("exec" in tools) <= (policy.security != "deny")


@examples(deadline=None, max_examples=300)
@given(POLICIES, POLICIES)
def test_an_agents_allow_and_deny_only_narrow(gateway: Tools, agent: Tools) -> None:
    """With either of them an agent has at most what it has without."""
    without = allowed(gateway, replace(agent, allow=None, deny=()))
    assert allowed(gateway, replace(agent, deny=())) <= without
    assert allowed(gateway, replace(agent, allow=None)) <= without
    assert allowed(gateway, agent) == without - denied_by(agent.deny) - (
        set() if agent.allow is None else set(NAMES) - meant_by(agent.allow)
    )


@pytest.mark.parametrize("name", ["prod.db__drop", "prod_db__drop"])
def test_a_shortened_name_is_denied_by_either(name: str) -> None:
    """A tool of a server whose name models can't write is denied by its own name, and by the one that models read."""
    policy = Policy(Tools("full", deny=(name.replace("drop", "*"),)), Tools())
    assert not policy.allows("prod_db__drop", "prod.db__drop")
    assert Policy(Tools("full"), Tools()).allows("prod_db__drop", "prod.db__drop")


def test_a_shortened_name_allows_nothing() -> None:
    """A name that a server has chosen to look like another's is not allowed by it."""
    policy = Policy(Tools("minimal", also_allow=("prod_db__*",)), Tools())
    assert not policy.allows("prod_db__drop", "prod.db__drop")


def test_an_agents_empty_list_of_programs_is_empty() -> None:
    """It narrows the gateway's list to nothing; an absent one leaves it."""
    gateway = Tools("coding", exec=Exec("allowlist", ("ls",)))
    assert Policy(gateway, Tools(exec=Exec(safe_bins=()))).exec.safe_bins == ()
    assert Policy(gateway, Tools()).exec.safe_bins == ("ls",)


def test_the_narrower_network_and_bounds_of_commands_count() -> None:
    """Whoever takes the network away or bounds something has it so, the gateway or the agent."""
    one, other = Exec(network=False, max_processes=9), Exec(max_memory_bytes=7, max_processes=5)
    for gateway, agent in ((one, other), (other, one)):
        rules = Policy(Tools(exec=gateway), Tools(exec=agent)).exec
        assert (rules.network, rules.max_memory_bytes, rules.max_processes) == (False, 7, 5)
    assert Policy(Tools(), Tools()).exec.network
