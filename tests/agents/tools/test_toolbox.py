"""What a run is offered."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import orjson
import pytest

from app.agents.tools import toolbox as toolbox_module
from app.agents.tools.policy import GROUPS
from app.agents.tools.toolbox import MCP_PATIENCE, Toolbox
from app.config.settings import Exec, McpServer, Settings, Tools
from tests.agents.scene import MAIN, settings, tool, turn

SESSIONS = {"sessions_list", "sessions_history", "sessions_send", "agents_list"}
WORK = {"read", "write", "edit", "ls", "find", "grep", "exec", "web_fetch"}


class FakeServers:
    """Stands where the MCP servers do."""

    made: list[FakeServers]

    def __init__(self, servers: Any, folder: Path, previous: FakeServers | None) -> None:
        self.servers, self.folder, self.previous = servers, folder, previous
        self.offered = [tool("github__create")]
        self.did: list[Any] = []
        self.made.append(self)

    def start(self) -> None:
        self.did.append("start")

    def wait_ready(self, timeout: float) -> None:
        self.did.append(timeout)

    def tools(self) -> list[Any]:
        return self.offered

    def states(self) -> dict[str, str]:
        return dict.fromkeys(self.servers, "ready")

    def close(self) -> None:
        self.did.append("close")


@pytest.fixture
def servers(monkeypatch: pytest.MonkeyPatch) -> list[FakeServers]:
    """Those of each toolbox that is made."""
    made: list[FakeServers] = []
    monkeypatch.setattr(FakeServers, "made", made, raising=False)
    monkeypatch.setattr(toolbox_module, "McpServers", FakeServers)
    return made


def with_tools(tools: Tools, folder: Path, *, mcp: bool = False) -> Settings:
    given = {"github": McpServer("github", command="x")} if mcp else {}
    return replace(
        settings(replace(MAIN, workspace=folder)), tools=tools, mcp_servers=given, state_dir=folder / "state"
    )


def offered(box: Toolbox, **fields: Any) -> set[str]:
    return set(box.offer(turn(**fields)).tools)


def test_the_whole_box(tmp_path: Path) -> None:
    """A stored run of an admin with the full profile is offered every tool that a group names."""
    box = Toolbox(with_tools(Tools("full"), tmp_path))
    every = {name for group in GROUPS.values() for name in group if "*" not in name}
    assert offered(box, admin=True) == every == WORK | SESSIONS | {"session_status"}


def test_session_tools_need_a_session_and_an_admin(tmp_path: Path) -> None:
    """A stateless run has no status to ask for; other sessions are for callers who may see them all."""
    box = Toolbox(with_tools(Tools("full"), tmp_path))
    for _ in range(2):  # the second time from what was offered before
        assert offered(box, admin=True) == WORK | SESSIONS | {"session_status"}
        assert offered(box, admin=False) == WORK | {"session_status"}
        assert offered(box, key=None, admin=True) == WORK | SESSIONS
        assert offered(box, key=None, admin=False) == WORK


def test_a_denied_tool_is_not_offered(tmp_path: Path) -> None:
    """The model doesn't even hear of it."""
    box = Toolbox(with_tools(Tools("full", deny=("group:fs", "sessions_send"), exec=Exec("deny")), tmp_path))
    offer = box.offer(turn(admin=True))
    expected = {"web_fetch", "session_status"} | SESSIONS - {"sessions_send"}
    assert set(offer.tools) == {each["function"]["name"] for each in offer.wire} == expected


def test_what_the_model_is_told_is_openai_s_shape(tmp_path: Path) -> None:
    """Each tool is a function with a name, a description and an object schema, together small enough for every call."""
    offer = Toolbox(with_tools(Tools("full"), tmp_path)).offer(turn(admin=True))
    for each in offer.wire:
        assert each["type"] == "function"
        assert each["function"]["description"]
        assert each["function"]["parameters"]["type"] == "object"
    assert len(orjson.dumps(offer.wire)) < 8000


def test_the_log_says_what_a_run_may_do(tmp_path: Path) -> None:
    """The profile, the tools, and how commands run; a run without tools has the profile alone."""
    box = Toolbox(with_tools(Tools("coding", allow=("ls", "exec")), tmp_path))
    assert box.offer(turn()).label == "coding:ls,exec(full)"
    assert Toolbox(with_tools(Tools("minimal"), tmp_path)).offer(turn(key=None)).label == "minimal"


def test_an_offer_is_made_once(tmp_path: Path) -> None:
    """The same run again gets the same object, so that nothing is built for each request."""
    box = Toolbox(with_tools(Tools("full"), tmp_path))
    assert box.offer(turn()) is box.offer(turn())


def test_nothing_is_made_in_the_workspace(tmp_path: Path) -> None:
    """An offer alone leaves the disk as it is."""
    Toolbox(with_tools(Tools("full"), tmp_path / "workspace")).offer(turn())
    assert list(tmp_path.iterdir()) == []


def test_a_run_from_before_a_reload(tmp_path: Path) -> None:
    """It gets the tools of the settings in force, and leaves nothing old behind for the runs that follow."""
    for name in ("old", "new"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "which.txt").write_text(name)
    before, after = (replace(MAIN, workspace=tmp_path / name) for name in ("old", "new"))
    box = Toolbox(replace(settings(after), tools=Tools("full")))
    for agent in (before, after):
        assert "new" in box.offer(turn(agent=agent)).tools["read"].work(None, {"path": "which.txt"})  # type: ignore[arg-type]


def test_an_agent_that_a_reload_removed(tmp_path: Path) -> None:
    """Its last runs have the policy that it had, under the gateway's."""
    box = Toolbox(with_tools(Tools("full", deny=("exec",)), tmp_path))
    gone = replace(MAIN, id="gone", workspace=tmp_path, tools=Tools(deny=("write",)))
    assert offered(box, agent=gone, key=None) == WORK - {"exec", "write"}


def test_typing_errors_are_told_once(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """When the settings come into force, not with every run."""
    box = Toolbox(with_tools(Tools("full", deny=("brovser",)), tmp_path))
    box.offer(turn())
    assert caplog.text.count("'brovser'") == 1


def test_what_is_not_offered_has_a_reason(tmp_path: Path) -> None:
    """Each tool that there is, is offered or withheld, and never both."""
    box = Toolbox(with_tools(Tools("coding", allow=("group:fs", "exec"), deny=("write",), exec=Exec("deny")), tmp_path))
    for fields in ({"admin": True}, {}, {"key": None}):
        withheld = box.withheld(turn(**fields))
        everything = {each.name for each in box.everything(MAIN)}
        assert everything == WORK | SESSIONS | {"session_status"}
        assert offered(box, **fields) == everything - withheld.keys()
    assert {name: refusal.rule for name, refusal in withheld.items() if name in WORK} == {
        "write": "deny",
        "exec": "exec",
        "web_fetch": "allow",
    }


def test_who_calls_may_be_the_reason(tmp_path: Path) -> None:
    """Tools for admins and for sessions say so, where the policy allows them."""
    box = Toolbox(with_tools(Tools("full", deny=("sessions_send",)), tmp_path))
    rules = {name: refusal.rule for name, refusal in box.withheld(turn(key=None)).items()}
    assert rules == dict.fromkeys(SESSIONS, "admin") | {"sessions_send": "deny", "session_status": "session"}
    assert set(box.withheld(turn(admin=True))) == {"sessions_send"}


def test_a_profile_is_named_in_the_reason(tmp_path: Path) -> None:
    """It is the agent's own where it has one."""
    box = Toolbox(replace(with_tools(Tools("full"), tmp_path), agents={"main": replace(MAIN, tools=Tools("minimal"))}))
    assert box.profile(MAIN) == "minimal"
    refusal = box.withheld(turn())["exec"]
    assert (refusal.rule, refusal.reason) == ("profile", "not in the profile minimal; tools.alsoAllow adds to it")


# MCP servers.


def test_tools_of_servers_are_offered(tmp_path: Path, servers: list[FakeServers]) -> None:
    """After a wait, bounded from when they were started, and as they are at the moment."""
    box = Toolbox(with_tools(Tools("full"), tmp_path, mcp=True))
    box.start()
    assert "github__create" in offered(box)
    started, waited = servers[0].did
    assert started == "start"
    assert 0 < waited <= MCP_PATIENCE
    servers[0].offered = [tool("github__other")]
    assert {name for name in offered(box) if "__" in name} == {"github__other"}
    assert box.states() == {"github": "ready"}


def test_servers_that_nobody_may_use_are_not_started(tmp_path: Path, servers: list[FakeServers]) -> None:
    """An agent without a right to them doesn't wait for them either."""
    box = Toolbox(with_tools(Tools("readonly"), tmp_path, mcp=True))
    box.start()
    assert not any("__" in name for name in offered(box))
    assert servers[0].did == []


def test_a_single_tool_of_a_server_can_be_denied(tmp_path: Path, servers: list[FakeServers]) -> None:
    """By its name as the model reads it."""
    box = Toolbox(with_tools(Tools("full", deny=("github__create",)), tmp_path, mcp=True))
    assert "github__create" not in offered(box)


def test_a_reload_hands_the_servers_on(tmp_path: Path, servers: list[FakeServers]) -> None:
    """The new toolbox gets the old one's, and closing it closes its own."""
    given = with_tools(Tools("full"), tmp_path, mcp=True)
    second = Toolbox(given, Toolbox(given))
    assert servers[1].previous is servers[0]
    second.close()
    assert [each.did for each in servers] == [[], ["close"]]


def test_a_tool_knows_its_server(tmp_path: Path, servers: list[FakeServers]) -> None:
    """Also where the name of one begins like another's; the gateway's own are of none."""
    given = replace(
        with_tools(Tools("full"), tmp_path), mcp_servers={name: McpServer(name, command="x") for name in ("a", "a__b")}
    )
    box = Toolbox(given)
    assert box.server_of(tool("x", full_name="a__b__c")) == "a__b"
    assert box.server_of(tool("x", full_name="a__c")) == "a"
    assert box.server_of(tool("read")) is None


def test_servers_that_are_not_ready(
    tmp_path: Path, servers: list[FakeServers], monkeypatch: pytest.MonkeyPatch
) -> None:
    """They are named to those whose agent may use them."""
    monkeypatch.setattr(FakeServers, "states", lambda _self: {"up": "ready", "down": "failed: x"})
    assert Toolbox(with_tools(Tools("full"), tmp_path, mcp=True)).unready(MAIN) == {"down": "failed: x"}
    assert Toolbox(with_tools(Tools("readonly"), tmp_path, mcp=True)).unready(MAIN) == {}
