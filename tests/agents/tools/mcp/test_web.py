from __future__ import annotations

import logging
import sys
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from gevent.pywsgi import WSGIServer
from gevent.subprocess import PIPE, Popen

from app.agents.tools.tool import ToolFailed
from tests.agents.tools.mcp.conftest import Start
from tests.agents.tools.mcp.scene import SCRIPTS, bridges, call, wait_until

Serve = Callable[..., tuple[Any, int]]


@pytest.fixture
def serve() -> Iterator[Serve]:
    """Has the real server listen on a port, 0 for a free one. Returns its process and the port.

    Two are kept ready, as each takes a second to load.
    """
    command = [sys.executable, str(SCRIPTS / "useful.py"), "http"]
    loaded = [Popen(command, stdin=PIPE, stdout=PIPE) for _ in range(2)]
    waiting = iter(loaded)

    def begin(port: int = 0) -> tuple[Any, int]:
        process = next(waiting)
        process.stdin.write(b"%d\n" % port)
        process.stdin.flush()
        return process, int(process.stdout.readline())

    yield begin
    for process in loaded:
        process.kill()
        process.wait()
        process.stdin.close()
        process.stdout.close()


@pytest.fixture
def answer() -> Iterator[Callable[..., str]]:
    """Starts a server that answers everything with the given status and body. Returns its URL."""
    started: list[WSGIServer] = []

    def begin(status: str, body: Any, kind: str = "application/json") -> str:
        def application(_environ: dict[str, Any], start_response: Callable[..., Any]) -> Any:
            start_response(status, [("Content-Type", kind)])
            return iter(body)

        started.append(WSGIServer(("127.0.0.1", 0), application, log=None, error_log=None))
        started[-1].start()
        return f"http://127.0.0.1:{started[-1].server_port}/mcp"

    yield begin
    for server in started:
        server.stop(timeout=0)


@pytest.mark.usefixtures("hurry")
def test_a_server_behind_a_url_works_like_any_other(
    start: Start, serve: Serve, caplog: pytest.LogCaptureFixture
) -> None:
    """Calls, headers, changed lists, its death and its return; the secret header is nowhere to be read."""
    caplog.set_level(logging.DEBUG)
    secret = "tr0ub4dor-and-3"
    process, port = serve()
    url = {
        "url": f"http://127.0.0.1:{port}/mcp",
        "headers": {"Authorization": f"Bearer {secret}", "X-Team": "blue-whale"},
    }
    servers = start(w=url)
    assert servers.states() == {"w": "ready"}
    assert call(servers, "w__add", a=1, b=2) == "3"
    assert call(servers, "w__header", name="x-team") == "blue-whale"
    assert call(servers, "w__header", name="authorization") == "Bearer ***"
    call(servers, "w__grow", name="fresh")
    wait_until(lambda: "w__fresh" in [tool.name for tool in servers.tools()])
    assert secret not in " ".join([*bridges()[0].cmdline(), *bridges()[0].environ().values()])

    process.kill()
    process.wait()
    with pytest.raises(ToolFailed, match=r"mcp\.servers\.w\.url can't be reached"):
        call(servers, "w__add", a=1, b=2)
    wait_until(lambda: "ConnectError" in servers.states()["w"])
    serve(port)
    wait_until(lambda: servers.states() == {"w": "ready"})
    assert call(servers, "w__add", a=2, b=2) == "4"
    assert secret not in caplog.text


def test_what_is_no_mcp_server_is_bounded_and_told(start: Start, answer: Callable[..., str]) -> None:
    """A refusal with its status; an answer without end, as one message or as a stream of them, with the bound."""

    def endless() -> Iterator[bytes]:
        yield b"data: "
        while True:
            yield b"x" * 65_536

    servers = start(
        locked={"url": answer("401 Unauthorized", [b"no"])},
        json={"url": answer("200 OK", endless())},
        stream={"url": answer("200 OK", endless(), "text/event-stream")},
    )
    states = servers.states()
    assert states["locked"].startswith("failed: it does not list its tools")
    assert "HTTP 401" in states["locked"]
    assert "more than 8,388,608 bytes" in states["json"]
    assert "8388608 byte limit" in states["stream"]
