from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import gevent
import pytest

from app.agents.tools.mcp import server as one_server
from app.agents.tools.mcp.servers import McpServers
from app.agents.tools.tool import ToolFailed
from tests.agents.tools.mcp.conftest import Start
from tests.agents.tools.mcp.scene import PATIENCE, bridges, call, configured, script, wait_until


@pytest.fixture(scope="module")
def servers(tmp_path_factory: pytest.TempPathFactory) -> Iterator[McpServers]:
    """One server, x, that no test here brings down. The usual time for a request bounds its start, too."""
    folder: Path = tmp_path_factory.mktemp("folder")
    servers = McpServers(configured(x=script("raw")), folder)
    servers.start()
    servers.wait_ready(PATIENCE)
    yield servers
    servers.close()
    assert bridges() == []


def cancelled(servers: McpServers) -> int:
    return call(servers, "x__heard").count("notifications/cancelled")


@pytest.mark.usefixtures("hurry")
def test_a_request_that_takes_too_long_is_cancelled_and_told(start: Start) -> None:
    """The model reads that time is over, the server reads the cancellation, and other calls go on meanwhile.

    Another one fails with the code that the SDK uses for a connection that closed, and is told its own error.
    """
    servers = start(x=script("raw", request_timeout_ms=2_000))
    # A start that takes too long is followed by another.
    wait_until(lambda: servers.states() == {"x": "ready"})
    waiting = gevent.spawn(call, servers, "x__hold")
    failing = gevent.spawn(call, servers, "x__error")
    assert call(servers, "x__echo", a=1) == '{"a": 1}'
    with pytest.raises(ToolFailed, match=r"did not answer in 2 s"):
        waiting.get()
    with pytest.raises(ToolFailed, match="not today"):
        failing.get()
    wait_until(lambda: cancelled(servers) == 1)


def test_a_killed_greenlet_cancels_its_request(servers: McpServers) -> None:
    """A run that is cancelled leaves no request behind in the server."""
    before, held = cancelled(servers), call(servers, "x__heard").count("hold")
    waiting = gevent.spawn(call, servers, "x__hold")
    wait_until(lambda: call(servers, "x__heard").count("hold") > held)
    waiting.kill()
    wait_until(lambda: cancelled(servers) == before + 1)


def test_too_many_calls_at_once_are_refused(servers: McpServers, monkeypatch: pytest.MonkeyPatch) -> None:
    """What is over the bound fails at once; what ends makes place."""
    monkeypatch.setattr(one_server, "MAX_PENDING", 2)
    waiting = [gevent.spawn(call, servers, "x__hold") for _ in range(2)]
    gevent.idle()
    with pytest.raises(ToolFailed, match="2 calls under way"):
        call(servers, "x__echo")
    waiting[0].kill()
    assert call(servers, "x__echo") == "{}"
    gevent.killall(waiting)


def test_what_is_no_result_fails_that_call_alone(servers: McpServers) -> None:
    """Messages that are none are passed over, a result of the wrong form is told."""
    with pytest.raises(ToolFailed, match="no tool result"):
        call(servers, "x__invalid")
    assert call(servers, "x__echo") == "{}"


def test_arguments_are_bounded(servers: McpServers) -> None:
    """A model that writes megabytes is told to write less."""
    with pytest.raises(ToolFailed, match="the arguments have"):
        call(servers, "x__echo", a="x" * 3_000_000)


def test_a_bridge_stays_small(servers: McpServers) -> None:
    """There is one for each server, so its memory counts."""
    [bridge] = bridges()
    assert bridge.memory_info().rss < 80 * 2**20
