"""The official SDK's client without its servers and their web framework: 48 MB a bridge instead of 65.

Only ``mcp.client.*`` and ``mcp.shared.*`` may be imported after this, never from ``mcp`` itself.
"""

from __future__ import annotations

import sys
from importlib.machinery import PathFinder
from types import ModuleType


def _without_init(name: str, within: list[str] | None) -> list[str]:
    """Put the package in place without running its ``__init__``, which imports everything."""
    spec = PathFinder.find_spec(name, within)
    if spec is None or spec.submodule_search_locations is None:
        raise ImportError(f"{name} is not installed")
    package = ModuleType(name)
    package.__path__ = locations = list(spec.submodule_search_locations)
    sys.modules[name] = package
    return locations


_without_init("mcp.client", _without_init("mcp", None))

from mcp.client._transport import ReadStream, TransportStreams, WriteStream  # noqa: E402
from mcp.client.session import ClientSession, IncomingMessage  # noqa: E402
from mcp.shared.exceptions import MCPError  # noqa: E402
from mcp.shared.jsonrpc_dispatcher import JSONRPCDispatcher  # noqa: E402
from mcp.shared.message import SessionMessage  # noqa: E402

__all__ = [
    "ClientSession",
    "IncomingMessage",
    "JSONRPCDispatcher",
    "MCPError",
    "ReadStream",
    "SessionMessage",
    "TransportStreams",
    "WriteStream",
]
