"""tools.catalog, tools.effective and tools.invoke."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from app.agents.tools.policy import GROUPS
from tests.agents.tools.mcp.scene import script
from tests.conftest import StartGateway
from tests.gateway_ws.client import Client, Refused, connected
from tests.gateway_ws.contract import check_result
from tests.live.gateway import ROOT, TOKEN, Gateway, config_for, wait_until
from tests.scripted import ScriptedProvider

CORE = {name for group in GROUPS.values() for name in group if "*" not in name}
# Does something that can be told from doing it twice.
COUNT = "echo again >> count; wc -l < count"


@pytest.fixture(scope="module")
def armed(tmp_path_factory: pytest.TempPathFactory, _shared_provider: ScriptedProvider) -> Iterator[Gateway]:
    """A gateway with one MCP server that works and one that doesn't; main may use all, beta less, gamma nothing."""
    config = config_for(_shared_provider.base_url)
    config["mcp"] = {"servers": {"u": script("useful"), "down": {"command": "no-such-program"}}}
    policies = {
        "main": {"profile": "full"},
        "beta": {"profile": "coding", "deny": ["write", "group:mcp"], "exec": {"security": "deny"}},
        "gamma": {"profile": "minimal"},
    }
    config["agents"]["list"] = [{"id": id, "model": "scripted/m", "tools": tools} for id, tools in policies.items()]
    gateway = Gateway(tmp_path_factory.mktemp("armed") / "state", config)
    try:
        with connected(gateway.wait_until_up()) as client:

            def ready() -> bool:
                return "u__add" in tools_of(call(client, "tools.effective", sessionKey="main"))

            # Runs begin without a server that takes longer than they wait for it, as on a busy machine.
            wait_until(ready, "the server has told its tools", 60)
        yield gateway
    finally:
        gateway.stop()


@pytest.fixture
def client(armed: Gateway) -> Iterator[Client]:
    with connected(armed) as client:
        yield client


@pytest.fixture
def workspace(armed: Gateway) -> Path:
    """Of main, with nothing counted yet."""
    folder = armed.state_dir / "workspace"
    folder.mkdir(mode=0o700, exist_ok=True)
    for name in ("begun", "count", "go"):
        (folder / name).unlink(missing_ok=True)
    return folder


def call(client: Client, method: str, **params: Any) -> Any:
    result = client.call(method, params)
    check_result(method, result)
    return result


def invoke(client: Client, name: str, args: dict[str, Any] | None = None, **more: Any) -> Any:
    return call(client, "tools.invoke", name=name, args=args or {}, **more)


def tools_of(answer: Any) -> dict[str, Any]:
    return {tool["id"]: tool for group in answer["groups"] for tool in group["tools"]}


# What there is.


def test_the_catalogue_has_every_tool(client: Client) -> None:
    """Whatever the agent's policy, in groups, with the profiles that grant it."""
    call(client, "tools.effective", sessionKey="main")  # by then the servers have told their tools
    for agent in ("main", "gamma"):
        catalog = call(client, "tools.catalog", agentId=agent)
        tools = tools_of(catalog)
        assert catalog["agentId"] == agent
        assert tools.keys() > CORE
        assert tools["session_status"]["defaultProfiles"] == ["minimal", "coding", "full"]
        assert tools["read"]["defaultProfiles"] == ["coding", "full"]
        assert [tools[name]["risk"] for name in ("read", "write", "exec")] == ["low", "medium", "high"]
        assert tools["u__add"]["pluginId"] == "u"
        assert [group["id"] for group in catalog["groups"]] == ["fs", "runtime", "web", "sessions", "mcp:u"]
    assert tools_of(call(client, "tools.catalog", includePlugins=False)).keys() == CORE


def test_what_a_session_is_offered(client: Client) -> None:
    """Tools of the gateway and of MCP servers apart; a server that is not ready is named."""
    effective = call(client, "tools.effective", sessionKey="agent:main:notes")
    assert (effective["agentId"], effective["profile"]) == ("main", "full")
    tools = tools_of(effective)
    assert tools.keys() > CORE
    assert (tools["u__add"]["mcpServer"], tools["u__add"]["mcpToolName"]) == ("u", "add")
    [notice] = effective["notices"]
    assert (notice["id"], notice["servers"]) == ("mcp", ["down"])
    assert "down (failed)" in notice["message"]


def test_a_bad_tool_of_a_server_is_named(start_gateway: StartGateway) -> None:
    """With what is wrong with it, to clients and by doctor; the others of its server are offered."""
    gateway = start_gateway(mcp={"servers": {"b": script("raw", "broken")}}, tools={"profile": "full"})
    with connected(gateway) as client:

        def told() -> dict[str, Any]:
            effective = call(client, "tools.effective", sessionKey="main")
            return effective if "b__after" in tools_of(effective) else {}

        wait_until(told, "the server has told its tools", 60)
        assert "b__typeless" not in tools_of(told())
        [notice] = told()["notices"]
        assert (notice["id"], notice["servers"]) == ("mcp:b", ["b"])
        assert "'typeless'" in notice["message"]
        assert "typeless" in str(client.call("status")["mcpToolsLeftOut"]["b"])
    environment = {**os.environ, "OPENCLAW_STATE_DIR": str(gateway.state_dir)}
    command = [sys.executable, "-m", "app", "doctor", "--url", gateway.url, "--token", TOKEN]
    doctor = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, check=False)
    assert "MCP server b can't be offered" in doctor.stdout
    assert "'typeless'" in doctor.stdout


def test_why_a_session_is_not_offered_more(client: Client) -> None:
    """Each tool that is left out stands beside what decides it."""
    effective = call(client, "tools.effective", sessionKey="agent:beta:main")
    reasons = {notice["id"]: notice["message"] for notice in effective["notices"]}
    assert tools_of(effective).keys() == CORE - {"write", "exec"}
    assert reasons["exec"] == "exec: switched off by tools.exec.security"
    assert reasons["deny"].startswith("write, u__add, ")
    assert reasons["deny"].endswith(": denied by tools.deny")
    effective = call(client, "tools.effective", sessionKey="main", agentId="gamma")
    assert list(tools_of(effective)) == ["session_status"]
    [reason] = effective["notices"]
    assert reason["message"].endswith(": not in the profile minimal; tools.alsoAllow adds to it")


def test_who_asks_decides_too(armed: Gateway) -> None:
    """Without operator.admin the tools for other sessions are left out, as in runs of such a caller."""
    with connected(armed, scopes=("operator.read",)) as client:
        effective = call(client, "tools.effective", sessionKey="main")
        assert tools_of(effective).keys() >= CORE - set(GROUPS["group:sessions"])
        assert "sessions_list" not in tools_of(effective)
        reasons = {notice["id"]: notice["message"] for notice in effective["notices"]}
        assert "sessions_list" in reasons["admin"]


# One at work.


def test_a_tool_is_run(client: Client, workspace: Path) -> None:
    """In the agent's workspace and in the session that is named, main without one; MCP servers' too."""
    assert invoke(client, "write", {"path": "a.txt", "content": "hello"})["ok"] is True
    read = invoke(client, "read", {"path": "a.txt"})
    assert (read["source"], "hello" in read["output"]) == ("core", True)
    assert (workspace / "a.txt").read_text() == "hello"
    assert invoke(client, "u__add", {"a": 19, "b": 23}) == {
        "ok": True,
        "toolName": "u__add",
        "output": "42",
        "source": "mcp",
    }
    for params, key in (({}, "agent:main:main"), ({"sessionKey": "x", "agentId": "beta"}, "agent:beta:x")):
        assert json.loads(invoke(client, "session_status", **params)["output"])["sessionKey"] == key


@pytest.mark.parametrize(
    ("name", "args", "key", "code", "message"),
    [
        ("write", {"path": "a", "content": ""}, "agent:beta:x", "TOOL_NOT_ALLOWED", "write: denied by tools.deny"),
        ("fly", {}, "main", "TOOL_NOT_ALLOWED", "there is no tool 'fly'"),
        ("read", {"file": "a"}, "main", "INVALID_ARGUMENTS", "unknown arguments: file"),
        ("read", {"path": "no-such-file"}, "main", "TOOL_FAILED", "no-such-file"),
    ],
    ids=["denied", "unknown", "arguments", "failed"],
)
def test_what_goes_wrong_is_a_result(
    client: Client, name: str, args: dict[str, Any], key: str, code: str, message: str
) -> None:
    """With a code for programs and a reason for people."""
    result = invoke(client, name, args, sessionKey=key)
    assert result["ok"] is False
    assert result["error"]["code"] == code
    assert message in result["error"]["message"]
    assert "output" not in result


def test_the_caller_s_scopes_bound_it(armed: Gateway) -> None:
    """Running needs operator.write, and what is for admins needs operator.admin."""
    with connected(armed, scopes=("operator.read",)) as client, pytest.raises(Refused) as refusal:
        invoke(client, "read")
    assert refusal.value.code == "FORBIDDEN"
    with connected(armed, scopes=("operator.write",)) as client:
        result = invoke(client, "sessions_list")
    assert result["error"] == {"code": "TOOL_NOT_ALLOWED", "message": "sessions_list: for callers with operator.admin"}


def test_the_same_key_runs_it_once(armed: Gateway, client: Client, workspace: Path) -> None:
    """Sent again, also over another connection, it gets the first result; a failure of the tool is one."""
    first = invoke(client, "exec", {"command": COUNT}, idempotencyKey="once")
    assert first["output"].strip() == "1"
    with connected(armed) as other:
        assert invoke(other, "exec", {"command": COUNT}, idempotencyKey="once") == first
    assert invoke(client, "exec", {"command": COUNT})["output"].strip() == "2"
    failed = invoke(client, "read", {"path": "later.txt"}, idempotencyKey="later")
    (workspace / "later.txt").write_text("now")
    assert invoke(client, "read", {"path": "later.txt"}, idempotencyKey="later") == failed


def test_a_key_is_for_one_call(client: Client, workspace: Path) -> None:
    """Another tool, arguments or session is refused; a call of which nothing was done may be mended."""
    invoke(client, "exec", {"command": COUNT}, idempotencyKey="one-call")
    for other in ({"command": "true"}, {"command": COUNT, "timeout": 5}):
        with pytest.raises(Refused, match=r"^idempotencyKey: was used for another call") as refusal:
            invoke(client, "exec", other, idempotencyKey="one-call")
        assert refusal.value.code == "INVALID_REQUEST"
    assert invoke(client, "exec", {}, idempotencyKey="mended")["error"]["code"] == "INVALID_ARGUMENTS"
    assert invoke(client, "exec", {"command": COUNT}, idempotencyKey="mended")["ok"] is True


def test_a_client_that_leaves_finds_the_result_later(armed: Gateway, workspace: Path) -> None:
    """The tool goes on; asked again meanwhile it is at work, and then its result is there."""
    command = f"echo > begun; until [ -e go ]; do sleep 0.02; done; {COUNT}"
    params = {"name": "exec", "args": {"command": command}, "idempotencyKey": "left"}
    with connected(armed) as client:
        client.begin("tools.invoke", params)
        wait_until(lambda: (workspace / "begun").exists(), "the tool begins")
    results, refusals = [], []

    def ended() -> bool:
        try:
            results.append(client.call("tools.invoke", params))
        except Refused as refusal:
            refusals.append(refusal.error)
        return bool(results)

    with connected(armed) as client:
        assert not ended()
        (workspace / "go").touch()
        wait_until(ended, "the tool ends")
    for error in refusals:
        assert (error["code"], error["retryable"]) == ("UNAVAILABLE", True)
        assert "at work" in error["message"]
    assert results[0]["output"].strip() == "1"
    assert (workspace / "count").read_text() == "again\n"
