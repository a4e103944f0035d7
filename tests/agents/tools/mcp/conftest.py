from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from app.agents.tools.mcp import server
from app.agents.tools.mcp.servers import McpServers
from tests.agents.tools.mcp.scene import PATIENCE, bridges, configured, gone, wait_until

Start = Callable[..., McpServers]


@pytest.fixture
def hurry(monkeypatch: pytest.MonkeyPatch) -> None:
    """Servers that failed are started again at once."""
    monkeypatch.setattr(server, "LONGEST_PAUSE", 0.05)


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Start]:
    """Starts servers by name, waits for them, and closes them; no process may be left then.

    previous: what they replace.
    """
    started: list[McpServers] = []
    others = bridges()

    def begin(previous: McpServers | None = None, **servers: dict[str, Any]) -> McpServers:
        made = McpServers(configured(**servers), tmp_path, previous)
        started.append(made)
        made.start()
        made.wait_ready(PATIENCE)
        return made

    yield begin
    own = [bridge for bridge in bridges() if bridge not in others]
    processes = [process for bridge in own for process in (bridge, *bridge.children(recursive=True))]
    for made in started:
        made.close()
    wait_until(lambda: all(map(gone, processes)))
    assert bridges() == others
