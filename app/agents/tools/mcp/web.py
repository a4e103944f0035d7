"""A server behind a URL: https://modelcontextprotocol.io/specification/2025-06-18/basic/transports#streamable-http."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import httpx2

from app.agents.tools.mcp.sdk import TransportStreams
from app.agents.tools.mcp.wire import MAX_LINE, Failure, Order
from app.agents.tools.mcp.words import Words

# Seconds. How long an answer may take is bounded for each request, and a stream of news has no end.
CONNECT_TIMEOUT = 10.0
TIMEOUTS = httpx2.Timeout(CONNECT_TIMEOUT, read=None, write=30.0)


class _Bounded(httpx2.AsyncByteStream):
    def __init__(self, blocks: httpx2.AsyncByteStream) -> None:
        self._blocks = blocks

    async def __aiter__(self) -> AsyncIterator[bytes]:
        size = 0
        async for block in self._blocks:
            size += len(block)
            if size > MAX_LINE:
                raise httpx2.StreamError(f"it has more than {MAX_LINE:,} bytes")
            yield block

    async def aclose(self) -> None:
        await self._blocks.aclose()


class _Transport(httpx2.AsyncHTTPTransport):
    """Bounds the bodies that the SDK reads as a whole. It bounds the events of a stream itself."""

    async def handle_async_request(self, request: httpx2.Request) -> httpx2.Response:
        response = await super().handle_async_request(request)
        if not response.headers.get("content-type", "").lower().startswith("text/event-stream"):
            assert isinstance(response.stream, httpx2.AsyncByteStream)
            response.stream = _Bounded(response.stream)
        return response


@asynccontextmanager
async def connect(order: Order, words: Words) -> AsyncIterator[TransportStreams]:
    """The server's messages. Raises Failure, also within the block, when it can't be reached or ends the session."""
    # After ``sdk``, and only where it is needed.
    from mcp.client.streamable_http import streamable_http_client

    async def look(response: httpx2.Response) -> None:
        if response.status_code == 404 and "mcp-session-id" in response.request.headers:
            raise Failure("it forgot the session")
        # 405: it has no stream of news, or lets no session be ended, which is its right.
        if response.status_code >= 400 and response.status_code != 405:
            words.note(f"HTTP {response.status_code} to {response.request.method}")

    assert order.url is not None
    # Compressed, a small answer could be a large one.
    headers = {"Accept-Encoding": "identity", **order.headers}
    client = httpx2.AsyncClient(
        headers=headers, timeout=TIMEOUTS, transport=_Transport(), event_hooks={"response": [look]}
    )
    try:
        async with (
            client,
            streamable_http_client(order.url, http_client=client, max_sse_event_size=MAX_LINE) as streams,
        ):
            yield streams
    except* (httpx2.TransportError, httpx2.InvalidURL) as errors:
        raise Failure(f"mcp.servers.{order.name}.url can't be reached", Failure.of(errors).detail) from None
