"""A gateway in small, with one server. Prints the ids of the processes behind it; ends by being killed."""

from __future__ import annotations

from gevent import monkey

monkey.patch_all()

import json  # noqa: E402
import sys  # noqa: E402
import time  # noqa: E402
from pathlib import Path  # noqa: E402

from app.agents.tools.mcp.servers import McpServers  # noqa: E402
from tests.agents.tools.mcp.scene import PATIENCE, bridges, call, configured, script  # noqa: E402

servers = McpServers(configured(x=script("raw")), Path(sys.argv[1]))
servers.start()
servers.wait_ready(PATIENCE)
left = json.loads(call(servers, "x__orphans"))
[bridge] = bridges()
assert "mcp" not in sys.modules  # the SDK is for the bridge alone
print(json.dumps([bridge.pid, *(child.pid for child in bridge.children(recursive=True)), *left]), flush=True)
time.sleep(60)
