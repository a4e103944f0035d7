"""What the tests of MCP servers share: scripted servers, and a look at the processes behind them."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import gevent
import psutil

from app.agents.tools.mcp.link import PROGRAM
from app.agents.tools.mcp.servers import McpServers
from app.config.settings import McpServer

SCRIPTS = Path(__file__).parent / "servers"
# Seconds: a bridge loads for half of one, and on a machine that is busy otherwise for some twenty.
PATIENCE = 60


def script(name: str, *arguments: str, **settings: Any) -> dict[str, Any]:
    """The settings of a server that is one of the scripts here."""
    return {"command": sys.executable, "args": (str(SCRIPTS / f"{name}.py"), *arguments), **settings}


def configured(**servers: dict[str, Any]) -> dict[str, McpServer]:
    return {name: McpServer(name, **settings) for name, settings in servers.items()}


def call(servers: McpServers, called: str, /, **arguments: Any) -> str:
    """Raises ToolFailed."""
    [tool] = [tool for tool in servers.tools() if tool.name == called]
    return tool.work(None, arguments)  # type: ignore[arg-type]


def wait_until(holds: Callable[[], object], seconds: float = PATIENCE) -> None:
    deadline = time.monotonic() + seconds
    while not holds():
        assert time.monotonic() < deadline, "it did not happen in time"
        gevent.sleep(0.01)


def bridges() -> list[psutil.Process]:
    return [child for child in psutil.Process().children() if PROGRAM in command(child)]


def bridge(servers: McpServers, name: str) -> psutil.Process:
    """That of one server, which runs."""
    link = servers._servers[name]._link
    assert link is not None
    return psutil.Process(link._process.pid)


def runs(servers: McpServers, name: str) -> bool:
    """Also that the gateway knows it already when a bridge is dead."""
    try:
        return servers.states()[name] == "ready" and not gone(bridge(servers, name))
    except psutil.NoSuchProcess:
        # It was killed a moment ago, and nobody has noticed yet.
        return False


def command(process: psutil.Process) -> list[str]:
    """Empty for one that is gone."""
    try:
        return process.cmdline()
    except psutil.Error:
        return []


def gone(process: psutil.Process | int) -> bool:
    """A zombie is gone too: in a container nobody may collect it."""
    try:
        found = psutil.Process(process) if isinstance(process, int) else process
        return found.status() == psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return True
