from __future__ import annotations

import json
import logging
import sys
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path

import gevent
import orjson
import pytest

from app.agents.tools.mcp import server as one_server
from app.agents.tools.mcp.servers import McpServers
from app.agents.tools.mcp.wire import LISTING_PAUSE, Failure, Listed
from app.agents.tools.tool import ToolFailed
from app.config.settings import McpServer
from tests.agents.tools.mcp.conftest import Start
from tests.agents.tools.mcp.scene import PATIENCE, bridge, bridges, call, configured, gone, runs, script, wait_until

TOKEN, ARGUMENT = "tr0ub4dor-and-3", "c0rrect-horse"


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Iterator[McpServers]:
    """A server of the SDK, u, and a raw one with secrets, x."""
    x = script("raw", "--api-key", ARGUMENT, env={"API_TOKEN": TOKEN, "FOLDER": "/var/lib/things"})
    u = script("useful", env={"GREETING": "hello"})
    servers = McpServers(configured(u=u, x=x), tmp_path_factory.mktemp("folder"))
    servers.start()
    servers.wait_ready(PATIENCE)
    yield servers
    servers.close()
    assert bridges() == []


@pytest.fixture
def servers(shared: McpServers, hurry: None) -> Iterator[McpServers]:
    """The shared ones, which run; one that a test ends is started again at once."""
    yield shared
    wait_until(lambda: all(runs(shared, name) for name in shared.states()))


def test_a_server_of_the_sdk_is_used_with_all_kinds_of_results(servers: McpServers) -> None:
    """Arguments reach the server, and text, pictures, resources, data, errors and new tools reach the model."""
    assert call(servers, "u__add", a=19, b=23) == "42"
    assert call(servers, "u__variable", name="GREETING") == "hello"
    assert call(servers, "u__where") == str(servers._servers["u"].folder)
    assert call(servers, "u__mixed").splitlines() == [
        "a word",
        "[image image/png, 300 bytes]",
        "[resource file:///notes.txt]",
        "[resource note:1]",
        "noted",
    ]
    assert json.loads(call(servers, "u__data")) == {"answer": 42}
    with pytest.raises(ToolFailed, match="a valid integer"):
        call(servers, "u__add", a="many", b=1)

    by_name = {tool.name: tool for tool in servers.tools()}
    add, data = by_name["u__add"], by_name["u__data"]
    assert add.description == "Adds two numbers."
    assert set(add.parameters["properties"]) == {"a", "b"}
    assert (add.concurrent, add.changes) == (True, False)
    assert (data.concurrent, data.changes) == (False, True)

    # The same objects as long as nothing changed.
    assert all(a is b for a, b in zip(servers.tools(), servers.tools(), strict=True))
    call(servers, "u__grow", name="fresh")
    wait_until(lambda: "u__fresh" in [tool.name for tool in servers.tools()])
    assert call(servers, "u__fresh") == "grown"


def test_only_wanted_tools_are_offered(tmp_path: Path) -> None:
    """``include`` and ``exclude`` are patterns, and ``exclude`` wins; what is not enabled is not there."""
    a = {"command": "x", "include": ("h*", "echo"), "exclude": ("hea*",)}
    servers = McpServers(configured(a=a, b={"url": "http://x", "enabled": False}), tmp_path)
    names = ("echo", "hold", "heard", "heavy", "die")
    servers._servers["a"].listed = tuple(Listed(name, "", {}, reads_only=False) for name in names)
    assert [tool.name for tool in servers.tools()] == ["a__echo", "a__hold"]
    assert list(servers.states()) == ["a"]


def test_what_is_excluded_is_so_in_any_spelling(tmp_path: Path) -> None:
    """By the name that agents know, and in any case; a bracket is no pattern. What is included is named exactly."""
    a = {"command": "x", "exclude": ("Echo", "a__hold", "A__HEA*", "[d]ie")}
    b = {"command": "x", "include": ("Echo", "b__hold", "die")}
    servers = McpServers(configured(a=a, b=b), tmp_path)
    for server in servers._servers.values():
        server.listed = tuple(Listed(name, "", {}, reads_only=False) for name in ("echo", "hold", "heard", "die"))
    assert [tool.name for tool in servers.tools()] == ["a__die", "b__die"]


def test_a_server_that_dies_is_started_again(servers: McpServers) -> None:
    """The calls under way are told why, its tools stay known, and it works again."""
    waiting = gevent.spawn(call, servers, "x__hold")
    gevent.idle()
    with pytest.raises(
        ToolFailed, match=r"MCP server 'x' is not running \(it ended with exit code 7\); it is being re"
    ):
        call(servers, "x__die")
    with pytest.raises(ToolFailed, match="exit code 7"):
        waiting.get()
    assert servers.tools()
    wait_until(lambda: runs(servers, "x"))
    assert call(servers, "x__echo", b=2) == '{"b": 2}'


def test_a_killed_bridge_takes_its_server_along(servers: McpServers) -> None:
    """Also when the bridge could do nothing about it; then both are started again."""
    killed = bridge(servers, "x")
    [server] = killed.children()
    killed.kill()
    wait_until(lambda: gone(server))
    wait_until(lambda: runs(servers, "x"))
    assert call(servers, "x__echo") == "{}"


def test_results_are_bounded(servers: McpServers) -> None:
    """A long text is cut; what grows in memory ends the server."""
    text = call(servers, "x__big")
    assert text.startswith("x" * 100_000 + "…")
    assert len(text) < 100_100
    with pytest.raises(ToolFailed, match="took too much memory"):
        call(servers, "x__heavy")


def test_secrets_stay_where_they_belong(servers: McpServers, caplog: pytest.LogCaptureFixture) -> None:
    """In no log, no result, and no command line that has them not already; a folder is no secret."""
    caplog.set_level(logging.DEBUG)
    assert call(servers, "x__secret") == "*** /var/lib/things"
    its = bridge(servers, "x")
    [server] = its.children()
    assert TOKEN not in " ".join([*its.cmdline(), *server.cmdline(), *its.environ().values()])
    assert ARGUMENT not in " ".join([*its.cmdline(), *its.environ().values()])
    assert server.environ()["API_TOKEN"] == TOKEN
    wait_until(lambda: "the token is ***, the arguments are --api-key ***" in caplog.text)
    assert TOKEN not in caplog.text
    assert ARGUMENT not in caplog.text


def test_a_failure_tells_no_secret(tmp_path: Path) -> None:
    """What a server wrote last explains its end, whatever else it wrote there."""
    server = one_server.Server(McpServer("x", args=("--api-key", ARGUMENT), env={"API_TOKEN": TOKEN}), tmp_path)
    server._end(Failure("it ended", f"{TOKEN} does not open {ARGUMENT}"))
    assert server.state() == "failed: it ended: *** does not open ***"


@pytest.mark.parametrize("secret", [TOKEN * 3, f"{TOKEN}-1\n{TOKEN}-2\n", f'{{"key":"{TOKEN * 100}"}}'])
def test_a_cut_leaves_no_part_of_a_secret(start: Start, caplog: pytest.LogCaptureFixture, secret: str) -> None:
    """Wherever a server's words are cut, and in however many lines it says them."""
    caplog.set_level(logging.DEBUG)
    servers = start(x=script("raw", "tell-all", env={"API_TOKEN": secret}))
    wait_until(lambda: "exit code 9" in servers.states()["x"])
    assert "***" in caplog.text
    for told in (caplog.text, servers.states()["x"]):
        assert secret[:8] not in told
        assert TOKEN[:8] not in told


FAILING = {
    "command": ({"command": "no-such-program"}, "mcp.servers.command.command was not found", "no-such-program"),
    "cwd": (script("raw", cwd="nowhere"), "mcp.servers.cwd.cwd is no folder", "nowhere"),
    "silent": (script("raw", "silent", request_timeout_ms=300), "it did not list its tools in 0.3 s", ""),
    "refusing": (script("raw", "refuse"), "it does not list its tools: not before noon", ""),
    "lines": (script("raw", "flood-lines"), "it floods its standard output", "still not a message"),
    "bytes": (script("raw", "flood-bytes"), "it sent a line of more than 8,388,608 bytes", ""),
    # Its end is seen although a child of it has its output open.
    "leaving": (script("raw", "leave"), "it ended with exit code 8", ""),
    "code": ({"command": sys.executable, "args": ("-c", "import sys; sys.exit('bad key')")}, "exit code 1", "bad key"),
}


def test_a_bad_tool_costs_itself_alone(start: Start, caplog: pytest.LogCaptureFixture) -> None:
    """Whatever is wrong with it: the others work, also those behind it, and the log names it with what is wrong."""
    servers = start(x=script("raw", "broken"))
    offered = {tool.name for tool in servers.tools()}
    assert {"x__echo", "x__after"} <= offered
    assert call(servers, "x__echo", a=1) == '{"a": 1}'
    bad = {"typeless", "schemaless", "stringly", "arrayed", "wordless", "hinted", "unequal", "halved", "deep"}
    assert not {f"x__{name}" for name in bad} & offered
    [told] = [message for message in caplog.messages if "left out" in message]
    for name in (*bad, "echo"):
        assert repr(name) in told, name
    assert told.count("number ") == 5
    assert "an inputSchema without \"type\": \"object\": 'typeless', 'schemaless'" in told
    [refused] = servers.refused().values()
    assert any("'typeless'" in each for each in refused)
    # What is offered can be told to a model.
    orjson.dumps([dict(tool.parameters) for tool in servers.tools()])


TALKATIVE = {
    "noisy": script("raw", "rubbish", "flood-stderr", "endless-list"),
    "large": script("raw", "fat", "many"),
    "dense": script("raw", "dense", "restless"),
}


def test_servers_that_go_wrong_side_by_side(
    start: Start, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """Those that can't work say why and where to look; what others say too much is bounded, and the rest of it works.

    All at once, as half of the time is spent waiting for one or the other.
    """
    monkeypatch.setattr(one_server, "FIRST_PAUSE", one_server.LONGEST_PAUSE)
    servers = start(**{name: settings for name, (settings, _, _) in FAILING.items()}, **TALKATIVE)
    for name, (_, reason, detail) in FAILING.items():
        state = servers.states()[name]
        assert state.startswith("failed: ")
        assert reason in state
        assert detail in state

    for name in TALKATIVE:
        assert servers.states()[name] == "ready"
        assert call(servers, f"{name}__echo", a="ä") == '{"a": "\\u00e4"}'
    tools = {tool.name: tool for tool in servers.tools()}
    assert {name.partition("__")[0] for name in tools} == set(TALKATIVE)
    assert sum(name.startswith("large__") for name in tools) == 128
    assert "large__fat" not in tools
    assert len(tools["large__wordy"].description) < 2_100
    assert "an inputSchema larger than 32,768 bytes: 'fat'" in caplog.text
    assert "more than 128 tools: 'tool115', 'tool116'" in caplog.text

    # Eight schemas of 30,000 bytes are as many as may be.
    assert sum("dense__dense" in name for name in tools) == 8
    [told] = [record.getMessage() for record in caplog.records if "MCP server dense" in record.getMessage()]
    assert "all schemas together larger than 262,144 bytes: 'dense8', 'dense9', " in told

    # It says without end that its tools are others now: they are asked for once in a while.
    wait_until(lambda: "dense__listing3" in [tool.name for tool in servers.tools()])
    _, *times = json.loads(call(servers, "dense__listings"))
    assert all(later - earlier >= LISTING_PAUSE for earlier, later in pairwise(times))


def test_a_list_that_is_the_same_is_no_news(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """A server that tells its tools again makes neither new objects nor new warnings."""
    server = one_server.Server(McpServer("x", command="x"), tmp_path)
    seen = []
    for title in ("a", "a", "b"):
        server._learn([Listed("echo", "", {"title": title}, reads_only=True)], [f"listed twice: {title!r}"])
        seen.append(server.listed)
    assert seen[0] is seen[1] is not seen[2]
    assert [record.args[1] for record in caplog.records] == ["listed twice: 'a'", "listed twice: 'b'"]


def test_a_reload_keeps_what_did_not_change(start: Start) -> None:
    """An unchanged server keeps its process; a changed one gets another, and its old tools say that they are gone.

    So are all processes of the old one: what it started in a session of its own, and orphans.
    """
    old = start(same=script("raw"), changed=script("raw", "before"))
    others = [each for each in bridges() if each not in (bridge(old, "same"), bridge(old, "changed"))]
    kept, replaced_bridge = bridge(old, "same"), bridge(old, "changed")
    left = json.loads(call(old, "changed__orphans"))
    assert not any(map(gone, left))
    [replaced] = [tool for tool in old.tools() if tool.name == "changed__echo"]

    new = start(old, same=script("raw"), changed=script("raw", "after"))
    assert call(new, "same__echo") == call(new, "changed__echo") == "{}"
    assert bridge(new, "same") == kept
    wait_until(lambda: gone(replaced_bridge) and all(map(gone, left)))
    assert len(bridges()) == len(others) + 2
    with pytest.raises(ToolFailed, match="will not be started again"):
        replaced.work(None, {})  # type: ignore[arg-type]


def test_pauses_between_starts_grow_to_a_minute() -> None:
    """From one second, doubled."""
    assert [one_server.pause(failures) for failures in (1, 2, 3, 6, 7, 1000)] == [1, 2, 4, 32, 60, 60]


def test_nothing_runs_before_it_is_started(tmp_path: Path) -> None:
    """A gateway whose agents may use no such tools has no process for them."""
    before = bridges()
    servers = McpServers(configured(x=script("raw")), tmp_path)
    assert servers.states() == {"x": "starting"}
    assert bridges() == before
    servers.close()
