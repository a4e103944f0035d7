"""The program between a gateway and one MCP server: whatever the server does, it does to this process alone.

Run as a module in a session of its own, with a socket to the gateway as standard input; ``wire`` says what is spoken
there. It ends, with all processes that came from it, when that socket closes, when the gateway dies, or after
a ``failed`` line.
"""

from __future__ import annotations

import json
import os
import resource
import socket
from contextlib import suppress

from app import descendants
from app.agents.tools.mcp.wire import MAX_DETAIL, MAX_REASON, Failure

# Bytes. A bridge takes some 50 MB; the longest line, parsed, some 100 more.
MAX_MEMORY = 512 * 1024 * 1024
# Seconds for the gateway to take a bridge's last line.
FAREWELL = 1.0


def main() -> None:
    descendants.die_with_parent()
    _, hard = resource.getrlimit(resource.RLIMIT_DATA)
    resource.setrlimit(resource.RLIMIT_DATA, (MAX_MEMORY, hard))
    gateway = socket.socket(fileno=os.dup(0))
    nowhere = os.open(os.devnull, os.O_RDWR)
    for standard in (0, 1, 2):
        os.dup2(nowhere, standard)
    try:
        # Imported here: what goes wrong in the SDK's many modules is told, too.
        from app.agents.tools.mcp.conversation import converse

        converse(gateway)
    except Exception as error:
        _tell(gateway, Failure.of(error))
    finally:
        descendants.end()


def _tell(gateway: socket.socket, failure: Failure) -> None:
    line = json.dumps({"failed": failure.reason[:MAX_REASON], "detail": failure.detail[-MAX_DETAIL:]})
    # A gateway that is gone or doesn't listen sees how this process ended.
    with suppress(OSError):
        gateway.settimeout(FAREWELL)
        gateway.sendall(line.encode() + b"\n")


if __name__ == "__main__":
    main()
