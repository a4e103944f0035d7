from __future__ import annotations

import json
import sys
from pathlib import Path

from gevent.subprocess import PIPE, Popen

from tests.agents.tools.mcp.scene import gone, wait_until

ROOT = Path(__file__).parents[4]


def test_nothing_outlives_a_killed_gateway(tmp_path: Path) -> None:
    """kill -9 of the gateway ends bridge, server, and what that started, also in a session of its own."""
    with Popen(
        [sys.executable, "-m", "tests.agents.tools.mcp.gateway", str(tmp_path)], stdout=PIPE, cwd=ROOT
    ) as gateway:
        processes = json.loads(gateway.stdout.readline())
        assert len(set(processes)) >= 4
        assert not any(map(gone, processes))
        gateway.kill()
    wait_until(lambda: all(map(gone, processes)))
