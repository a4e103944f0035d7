"""A bridge's work: requests of the gateway to the server, answers and news of the server to the gateway."""

from __future__ import annotations

import asyncio
import json
import logging
import socket
from contextlib import AbstractAsyncContextManager
from typing import Any

import anyio
import mcp_types as types
from anyio.abc import TaskGroup
from pydantic import ValidationError

from app import descendants
from app.agents.tools.mcp import results, stdio
from app.agents.tools.mcp.listing import Dispatcher
from app.agents.tools.mcp.sdk import ClientSession, IncomingMessage, MCPError, TransportStreams
from app.agents.tools.mcp.wire import (
    GRACE,
    LAST_LOOK,
    LISTING_PAUSE,
    MAX_LINE,
    MAX_REASON,
    MAX_TOOLS,
    Failure,
    Order,
    cut,
)
from app.agents.tools.mcp.words import Words

# Pages of one listing; a server may say that there is always another.
MAX_PAGES = 64
# Seconds between two looks at what a server wrote to its standard error.
WORDS_PAUSE = 1.0

CLIENT = types.Implementation(name="openclaw-gateway", version="1")


def converse(gateway: socket.socket) -> None:
    """Until the gateway closes its end. Raises Failure or what else goes wrong, alone or in a group."""
    words = Words()
    logging.getLogger().addHandler(words)
    asyncio.run(_converse(gateway, words))


async def _converse(gateway: socket.socket, words: Words) -> None:
    reader, writer = await asyncio.open_connection(sock=gateway.dup(), limit=MAX_LINE)
    # So that draining means that all is on its way, the last line before the end too.
    writer.transport.set_write_buffer_limits(high=0)
    order = Order(**json.loads(await reader.readline()))
    words.secrets = order.secrets
    conversation = Conversation(order, reader, writer, words)
    try:
        await conversation.run()
    except Exception as error:
        failure = Failure.of(error)
        await conversation.pass_on_words()
        detail = ": ".join(filter(None, [failure.detail, words.last()]))
        raise Failure(words.hidden(failure.reason), words.hidden(detail)) from error
    finally:
        await writer.drain()


class Conversation:
    def __init__(self, order: Order, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, words: Words) -> None:
        self._order = order
        self._reader = reader
        self._writer = writer
        self._words = words
        self._calls: dict[int, anyio.CancelScope] = {}
        self._changed = anyio.Event()
        self._over = anyio.Event()
        self._dispatcher: Dispatcher

    async def run(self) -> None:
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(self._follow_words)
            async with (
                self._connection() as (read, write),
                ClientSession(
                    dispatcher=(dispatcher := Dispatcher(read, write)), message_handler=self._note, client_info=CLIENT
                ) as session,
            ):
                self._dispatcher = dispatcher
                tasks.start_soon(self._hear, session, tasks)
                await self._learn(session, greet=True)
                tasks.start_soon(self._follow, session)
                await self._over.wait()
            tasks.cancel_scope.cancel()

    def _connection(self) -> AbstractAsyncContextManager[TransportStreams]:
        if self._order.url is None:
            return stdio.connect(self._order, self._words)
        # Imported here: the other kind of server needs no HTTP.
        from app.agents.tools.mcp import web

        return web.connect(self._order, self._words)

    # What the server says.

    async def _learn(self, session: ClientSession, *, greet: bool = False) -> None:
        """Tell the gateway the server's tools. Raises Failure."""
        try:
            with anyio.fail_after(self._order.timeout):
                if greet:
                    await _greet(session)
                self._dispatcher.begin(session.protocol_version)
                tools = await _list(session)
        except TimeoutError:
            raise Failure(f"it did not list its tools in {self._order.timeout:g} s") from None
        except MCPError as error:
            raise Failure(f"it does not list its tools: {error.message}") from None
        except (ValidationError, RuntimeError) as error:
            raise Failure("its answers don't follow the protocol", str(error)) from None
        listed, refused = results.usable(tools, self._dispatcher.left_out)
        await self._say(tools=listed, refused=refused)

    async def _note(self, message: IncomingMessage) -> None:
        if isinstance(message, types.ToolListChangedNotification):
            self._changed.set()

    async def _follow(self, session: ClientSession) -> None:
        while True:
            await self._changed.wait()
            self._changed = anyio.Event()
            await self._learn(session)
            await anyio.sleep(LISTING_PAUSE)

    async def pass_on_words(self) -> None:
        """What the server wrote to its standard error since the last time."""
        if fresh := self._words.fresh():
            await self._say(words=fresh)

    async def _follow_words(self) -> None:
        while True:
            await anyio.sleep(WORDS_PAUSE)
            await self.pass_on_words()

    # What the gateway says.

    async def _hear(self, session: ClientSession, tasks: TaskGroup) -> None:
        while line := await self._reader.readline():
            request = json.loads(line)
            if "call" in request:
                scope = self._calls[request["id"]] = anyio.CancelScope()
                tasks.start_soon(self._call, session, request, scope)
            elif request["id"] in self._calls:
                self._calls[request["id"]].cancel()
        # The server may end in peace, but not for ever.
        asyncio.get_running_loop().call_later(GRACE, descendants.end)
        self._over.set()

    async def _call(self, session: ClientSession, request: dict[str, Any], scope: anyio.CancelScope) -> None:
        with scope:
            answer = await self._answer(session, request["call"], request["arguments"])
            if answer:
                await self._say(id=request["id"], **answer)
        del self._calls[request["id"]]

    async def _answer(self, session: ClientSession, name: str, arguments: dict[str, Any]) -> dict[str, str]:
        call = types.CallToolRequest(params=types.CallToolRequestParams(name=name, arguments=arguments))
        try:
            # Cancelled by time or by the gateway, the SDK tells the server.
            with anyio.fail_after(self._order.timeout):
                # Not ``call_tool``: a result that doesn't match its schema is of more use than none.
                result = await session.send_request(call, types.CallToolResult)
        except TimeoutError:
            return {"error": f"the tool did not answer in {self._order.timeout:g} s; the call was cancelled"}
        except ValidationError:
            return {"error": "the server answered with something that is no tool result"}
        except MCPError as error:
            if error.code == types.CONNECTION_CLOSED:
                # If all of it did, why is about to be known, and this task to be cancelled.
                await anyio.sleep(LAST_LOOK)
            return {"error": cut(error.message, MAX_REASON)}
        text = results.text_of(result)
        return {"error": text or "the tool failed without a reason"} if result.is_error else {"text": text}

    async def _say(self, **news: object) -> None:
        self._writer.write(json.dumps(news).encode() + b"\n")
        await self._writer.drain()


async def _greet(session: ClientSession) -> None:
    """The handshake of the protocol's versions until 2025, or, where a server has left that behind, the later one."""
    try:
        await session.initialize()
    except MCPError as error:
        if error.code not in (types.METHOD_NOT_FOUND, types.UNSUPPORTED_PROTOCOL_VERSION):
            raise
        await session.discover()


async def _list(session: ClientSession) -> list[types.Tool]:
    tools: list[types.Tool] = []
    cursor = None
    for _ in range(MAX_PAGES):
        page = await session.list_tools(params=types.PaginatedRequestParams(cursor=cursor) if cursor else None)
        tools += page.tools
        cursor = page.next_cursor
        if cursor is None or len(tools) > MAX_TOOLS:
            break
    return tools
