"""A real server made with the SDK: over stdio; or over HTTP on the port that it reads, and prints when it listens."""

from __future__ import annotations

import os
import socket
import sys
from typing import Any

import mcp_types as types
from mcp.server.mcpserver import Context, MCPServer

server = MCPServer("useful")
READS = types.ToolAnnotations(read_only_hint=True)


@server.tool(annotations=READS)
def add(a: int, b: int) -> str:
    """Adds two numbers."""
    return str(a + b)


@server.tool()
def where() -> str:
    return os.getcwd()


@server.tool()
def variable(name: str) -> str:
    return os.environ.get(name, "not set")


@server.tool(structured_output=False)
def mixed() -> list[Any]:
    """Every kind of content."""
    return [
        types.TextContent(text="a word"),
        types.ImageContent(data="AAAA" * 100, mime_type="image/png"),
        types.ResourceLink(name="n", uri="file:///notes.txt"),
        types.EmbeddedResource(resource=types.TextResourceContents(uri="note:1", text="noted")),
    ]


@server.tool()
def data() -> types.CallToolResult:
    return types.CallToolResult(content=[], structured_content={"answer": 42})


@server.tool()
async def grow(context: Context, name: str) -> str:
    """Adds a tool."""
    server.add_tool(lambda: "grown", name=name)
    await context.session.send_tool_list_changed()
    return "grown"


@server.tool()
def header(context: Context, name: str) -> str:
    """A header of the request that this is."""
    request = context.request_context.request
    return request.headers.get(name, "not set") if request else "no HTTP"


if __name__ == "__main__":
    if sys.argv[1:2] == ["http"]:
        import uvicorn

        listener = socket.create_server(("127.0.0.1", int(sys.stdin.readline())))
        print(listener.getsockname()[1], flush=True)
        uvicorn.Server(uvicorn.Config(server.streamable_http_app(), log_level="critical")).run(sockets=[listener])
    else:
        server.run("stdio")
