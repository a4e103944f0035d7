"""All MCP servers of one configuration, and their tools as agents' tools."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import gevent

from app.agents.tools.mcp.names import tool_names
from app.agents.tools.mcp.server import Server
from app.agents.tools.mcp.wire import GRACE, Listed
from app.agents.tools.tool import Tool
from app.config.matching import folded, matches
from app.config.settings import McpServer

if TYPE_CHECKING:
    from app.agents.run import Run


class McpServers:
    """The enabled servers by name. None runs before ``start``.

    folder: where those work that say no ``cwd``. previous: what was configured until now; servers whose settings did
    not change move over as they are, the others are closed.
    """

    def __init__(self, servers: Mapping[str, McpServer], folder: Path, previous: McpServers | None = None) -> None:
        old = previous._servers if previous else {}
        self._servers: dict[str, Server] = {}
        for name, settings in servers.items():
            if not settings.enabled:
                continue
            known = old.get(name)
            if known is not None and (known.settings, known.folder) == (settings, folder):
                self._servers[name] = old.pop(name)
            else:
                self._servers[name] = Server(settings, folder)
        for server in old.values():
            server.close()
        old.clear()
        self._known: tuple[tuple[Listed, ...], ...] = ()
        self._tools: list[Tool] = []

    def start(self) -> None:
        """Begin all servers that don't run yet. Returns at once."""
        for server in self._servers.values():
            server.start()

    def wait_ready(self, timeout: float) -> None:
        """Wait until each server has told its tools or failed, at most ``timeout`` seconds."""
        gevent.wait([server.settled for server in self._servers.values()], timeout)

    def tools(self) -> list[Tool]:
        """What the servers offer as far as is known now; the same objects as long as that is the same."""
        known = tuple(server.listed for server in self._servers.values())
        if known != self._known:
            offered = [
                (server, listed)
                for server in self._servers.values()
                for listed in server.listed
                if _wanted(listed.name, server.settings)
            ]
            names = tool_names((server.settings.name, listed.name) for server, listed in offered)
            self._tools = [_tool(name, *one) for name, one in zip(names, offered, strict=True)]
            self._known = known
        return list(self._tools)

    def states(self) -> dict[str, str]:
        """By name: ``ready``, ``starting``, or ``failed: `` and why."""
        return {name: server.state() for name, server in self._servers.items()}

    def refused(self) -> dict[str, tuple[str, ...]]:
        """By server, which of its tools can't be offered, and why."""
        return {name: server.refused for name, server in self._servers.items() if server.refused}

    def close(self) -> None:
        """End all servers, and wait for that."""
        keepers = [keeper for server in self._servers.values() if (keeper := server.close())]
        gevent.joinall(keepers, timeout=3 * GRACE)


def _wanted(tool: str, settings: McpServer) -> bool:
    """Included by its name as it is; excluded in any case, and by the name that agents know it by, too."""
    if settings.include is not None and not any(matches(tool, pattern) for pattern in settings.include):
        return False
    names = (folded(tool), folded(f"{settings.name}__{tool}"))
    return not any(matches(name, folded(pattern)) for pattern in settings.exclude for name in names)


def _tool(name: str, server: Server, listed: Listed) -> Tool:
    return Tool(
        name,
        listed.description,
        listed.parameters,
        partial(_work, server, listed.name),
        full_name=f"{server.settings.name}__{listed.name}",
        concurrent=listed.reads_only,
        changes=not listed.reads_only,
        # The server checks them itself; its schema may hold expressions that take for ever.
        checked=False,
    )


def _work(server: Server, tool: str, _run: Run, arguments: dict[str, Any]) -> str:
    return server.call(tool, arguments)
