from __future__ import annotations

import json
import logging
import sys
from pathlib import Path

import gevent
import pytest

from app.agents.tools.mcp import server as one_server
from app.agents.tools.mcp.servers import McpServers
from app.agents.tools.tool import ToolFailed
from tests.agents.tools.mcp.conftest import Start
from tests.agents.tools.mcp.scene import bridges, call, configured, gone, script, wait_until


def test_a_server_of_the_sdk_is_used_with_all_kinds_of_results(start: Start, tmp_path: Path) -> None:
    """Arguments reach the server, and text, pictures, resources, data, errors and new tools reach the model."""
    servers = start(u=script("useful", env={"GREETING": "hello"}))
    assert servers.states() == {"u": "ready"}
    assert call(servers, "u__add", a=19, b=23) == "42"
    assert call(servers, "u__variable", name="GREETING") == "hello"
    assert call(servers, "u__where") == str(tmp_path)
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


def test_only_wanted_tools_are_offered(start: Start) -> None:
    """``include`` and ``exclude`` are patterns, and ``exclude`` wins; what is not enabled is not there."""
    servers = start(a=script("raw", include=("h*", "echo"), exclude=("hea*",)), b={"url": "http://x", "enabled": False})
    assert [tool.name for tool in servers.tools()] == ["a__echo", "a__hold"]
    assert servers.states() == {"a": "ready"}


@pytest.mark.usefixtures("hurry")
def test_a_server_that_dies_is_started_again(start: Start) -> None:
    """The calls under way are told why, its tools stay known, and it works again."""
    servers = start(x=script("raw"))
    waiting = gevent.spawn(call, servers, "x__hold")
    gevent.idle()
    with pytest.raises(
        ToolFailed, match=r"MCP server 'x' is not running \(it ended with exit code 7\); it is being re"
    ):
        call(servers, "x__die")
    with pytest.raises(ToolFailed, match="exit code 7"):
        waiting.get()
    assert servers.tools()
    wait_until(lambda: servers.states() == {"x": "ready"})

    # Its end is seen although a child of it has its output open.
    with pytest.raises(ToolFailed, match="exit code 8"):
        call(servers, "x__leave")
    wait_until(lambda: servers.states() == {"x": "ready"})
    assert call(servers, "x__echo", b=2) == '{"b": 2}'


@pytest.mark.usefixtures("hurry")
def test_a_killed_bridge_takes_its_server_along(start: Start) -> None:
    """Also when the bridge could do nothing about it; then both are started again."""
    servers = start(x=script("raw"))
    [bridge] = bridges()
    [server] = bridge.children()
    bridge.kill()
    wait_until(lambda: gone(server))
    wait_until(lambda: bridges() not in ([], [bridge]) and servers.states() == {"x": "ready"})
    assert call(servers, "x__echo") == "{}"


FAILING = {
    "command": ({"command": "no-such-program"}, "mcp.servers.command.command was not found", "no-such-program"),
    "cwd": (script("raw", cwd="nowhere"), "mcp.servers.cwd.cwd is no folder", "nowhere"),
    "silent": (script("raw", "silent", request_timeout_ms=300), "it did not list its tools in 0.3 s", ""),
    "refusing": (script("raw", "refuse"), "it does not list its tools: not before noon", ""),
    "lines": (script("raw", "flood-lines"), "it floods its standard output", "still not a message"),
    "bytes": (script("raw", "flood-bytes"), "it sent a line of more than 8,388,608 bytes", ""),
    "code": ({"command": sys.executable, "args": ("-c", "import sys; sys.exit('bad key')")}, "exit code 1", "bad key"),
    "url": ({"url": "http://127.0.0.1:9/mcp"}, "mcp.servers.url.url can't be reached", "ConnectError"),
}


def test_why_a_server_does_not_start_is_told(start: Start) -> None:
    """The state says what is wrong and where to look; there are no tools and nothing is left running."""
    servers = start(**{name: settings for name, (settings, _, _) in FAILING.items()})
    for name, (_, reason, detail) in FAILING.items():
        state = servers.states()[name]
        assert state.startswith("failed: ")
        assert reason in state
        assert detail in state
    assert servers.tools() == []


def test_a_server_that_says_too_much_works(start: Start, caplog: pytest.LogCaptureFixture) -> None:
    """Rubbish, endless words, lists without end and large tools are bounded, and no reason to be without the rest."""
    modes = ("rubbish", "flood-stderr", "endless-list", "many", "fat")
    servers = start(**{mode: script("raw", mode) for mode in modes})
    assert set(servers.states().values()) == {"ready"}
    for mode in modes:
        assert call(servers, f"{mode}__echo", a="ä") == '{"a": "\\u00e4"}'
    tools = {tool.name: tool for tool in servers.tools()}
    assert sum(name.startswith("many__") for name in tools) == 128
    assert "fat__fat" not in tools
    assert len(tools["fat__wordy"].description) < 2_100
    assert "'fat': its inputSchema has 40," in caplog.text
    assert "more than 128 tools" in caplog.text


@pytest.mark.usefixtures("hurry")
def test_results_are_bounded(start: Start) -> None:
    """A long text is cut; what is longer than a line may be, or grows in memory, ends the server."""
    servers = start(x=script("raw"))
    text = call(servers, "x__big")
    assert text.startswith("x" * 100_000 + "…")
    assert len(text) < 100_100
    for tool, reason in {"bigger": "a line of more than 8,388,608 bytes", "heavy": "took too much memory"}.items():
        with pytest.raises(ToolFailed, match=reason):
            call(servers, f"x__{tool}")
        wait_until(lambda: servers.states() == {"x": "ready"})


def test_a_reload_keeps_what_did_not_change(start: Start) -> None:
    """An unchanged server keeps its process; a changed one gets another, and its old tools say that they are gone."""
    old = start(same=script("raw"), changed=script("raw", "before"))
    [kept] = [bridge for bridge in bridges() if "before" not in bridge.children()[0].cmdline()]
    [replaced] = [tool for tool in old.tools() if tool.name == "changed__echo"]

    new = start(old, same=script("raw"), changed=script("raw", "after"))
    assert call(new, "same__echo") == call(new, "changed__echo") == "{}"
    wait_until(lambda: len(bridges()) == 2)
    assert kept in bridges()
    with pytest.raises(ToolFailed, match="will not be started again"):
        replaced.work(None, {})  # type: ignore[arg-type]


def test_closing_leaves_no_process(start: Start) -> None:
    """Neither one in a session of its own nor an orphan outlives the server that started them."""
    servers = start(x=script("raw"))
    left = json.loads(call(servers, "x__orphans"))
    assert not any(map(gone, left))
    [bridge] = bridges()
    servers.close()
    wait_until(lambda: gone(bridge) and all(map(gone, left)))


def test_secrets_stay_where_they_belong(start: Start, caplog: pytest.LogCaptureFixture) -> None:
    """In no command line, no log and no result; only the server's own environment holds them."""
    caplog.set_level(logging.DEBUG)
    secret = "tr0ub4dor-and-3"
    servers = start(x=script("raw", env={"API_TOKEN": secret, "FOLDER": "/var/lib/things"}))
    assert call(servers, "x__secret") == "*** /var/lib/things"
    [bridge] = bridges()
    [server] = bridge.children()
    assert secret not in " ".join([*bridge.cmdline(), *server.cmdline(), *bridge.environ().values()])
    assert server.environ()["API_TOKEN"] == secret
    wait_until(lambda: "the token is ***" in caplog.text)
    with pytest.raises(ToolFailed):
        call(servers, "x__die")
    assert secret not in caplog.text


def test_pauses_between_starts_grow_to_a_minute() -> None:
    """From one second, doubled."""
    assert [one_server.pause(failures) for failures in (1, 2, 3, 6, 7, 1000)] == [1, 2, 4, 32, 60, 60]


def test_nothing_runs_before_it_is_started(tmp_path: Path) -> None:
    """A gateway whose agents may use no such tools has no process for them."""
    servers = McpServers(configured(x=script("raw")), tmp_path)
    assert servers.states() == {"x": "starting"}
    assert bridges() == []
    servers.close()
