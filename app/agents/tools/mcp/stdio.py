"""A server that is a program: one JSON-RPC message a line on its standard input and output.

https://modelcontextprotocol.io/specification/2025-06-18/basic/transports#stdio. The SDK's own transport buffers a line
without end for ever and lets the program outlive a killed parent.
"""

from __future__ import annotations

import asyncio
import json
import os
import signal
import time
from asyncio.subprocess import PIPE, Process
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import anyio
from mcp_types import JSONRPCMessage, jsonrpc_message_adapter

from app import descendants
from app.agents.tools.mcp.sdk import ReadStream, SessionMessage, TransportStreams, WriteStream
from app.agents.tools.mcp.wire import LAST_LOOK, MAX_LINE, Failure, Order, cut
from app.agents.tools.mcp.words import Words

READ_SIZE = 64 * 1024
# Lines that are no message, within seconds: programs print greetings and logs where they should not.
MAX_RUBBISH = 1_000
RUBBISH_WINDOW = 10.0


@asynccontextmanager
async def connect(order: Order, words: Words) -> AsyncIterator[TransportStreams]:
    """The running program's messages. At a normal exit it has its standard input closed and is waited for.

    Raises Failure, also within the block, when it can't be started, ends, or speaks something else.
    """
    process = await _start(order)
    assert process.stdin
    assert process.stderr
    messages, incoming = anyio.create_memory_object_stream[SessionMessage | Exception](0)
    outgoing, orders = anyio.create_memory_object_stream[SessionMessage](0)
    async with anyio.create_task_group() as tasks:
        stderr_read = anyio.Event()
        tasks.start_soon(_read_words, process.stderr, words, stderr_read)
        tasks.start_soon(_read, process, messages, stderr_read, words)
        tasks.start_soon(_write, process.stdin, orders)
        tasks.start_soon(_watch, process)
        yield incoming, outgoing
        tasks.cancel_scope.cancel()
    process.stdin.close()
    await process.wait()


async def _start(order: Order) -> Process:
    assert order.command is not None
    if order.folder is not None and not os.path.isdir(order.folder):
        raise Failure(f"mcp.servers.{order.name}.cwd is no folder", f"there is no folder {order.folder}")
    try:
        return await asyncio.create_subprocess_exec(
            order.command,
            *order.arguments,
            stdin=PIPE,
            stdout=PIPE,
            stderr=PIPE,
            limit=MAX_LINE,
            env=dict(order.environment),
            cwd=order.folder,
            preexec_fn=descendants.join,
        )
    except FileNotFoundError:
        reason = f"mcp.servers.{order.name}.command was not found"
        raise Failure(reason, f"there is no program {order.command}") from None
    except (OSError, ValueError) as error:
        raise Failure(f"mcp.servers.{order.name}.command can't be started", f"{order.command}: {error}") from None


async def _read(
    process: Process, messages: WriteStream[SessionMessage | Exception], last: anyio.Event, words: Words
) -> None:
    assert process.stdout
    rubbish = 0
    since = time.monotonic()
    while True:
        try:
            line = await process.stdout.readline()
        except ValueError:
            raise Failure(f"it sent a line of more than {MAX_LINE:,} bytes") from None
        if not line:
            break
        try:
            message = _message(line)
        except (ValueError, RecursionError):
            if time.monotonic() - since > RUBBISH_WINDOW:
                rubbish, since = 0, time.monotonic()
            if line.strip():
                rubbish += 1
                words.note(
                    f"no MCP message on standard output: {cut(words.hidden(line.decode(errors='replace')), 200)}"
                )
            if rubbish > MAX_RUBBISH:
                raise Failure("it floods its standard output with lines that are no MCP messages") from None
        else:
            await messages.send(SessionMessage(message))
    # What it wrote last says why it ended.
    with anyio.move_on_after(LAST_LOOK):
        await last.wait()
        await process.wait()
    raise Failure(_ending(process.returncode))


def _message(line: bytes) -> JSONRPCMessage:
    """Raises ValueError, RecursionError."""
    try:
        return jsonrpc_message_adapter.validate_json(line, by_name=False)
    except ValueError:
        # It reads neither halves of surrogate pairs nor many levels, which one tool's schema may have.
        return jsonrpc_message_adapter.validate_python(json.loads(line), by_name=False)


def _ending(code: int | None) -> str:
    if code is None:
        return "it closed its standard output"
    if code < 0:
        return f"it was killed by {signal.Signals(-code).name}"
    return f"it ended with exit code {code}"


async def _write(stdin: asyncio.StreamWriter, orders: ReadStream[SessionMessage]) -> None:
    async with orders:
        async for order in orders:
            stdin.write(order.message.model_dump_json(by_alias=True, exclude_unset=True).encode() + b"\n")
            try:
                await stdin.drain()
            except ConnectionError:
                # Its output ends too, or a request gets no answer; both say more than this does.
                return


async def _read_words(stderr: asyncio.StreamReader, words: Words, done: anyio.Event) -> None:
    while block := await stderr.read(READ_SIZE):
        words.feed(block)
    done.set()


async def _watch(process: Process) -> None:
    while process.returncode is None:
        await anyio.sleep(LAST_LOOK)
        descendants.reap(process.pid)
    # A child of its own may hold its output open: then only this tells that it is gone.
    await anyio.sleep(LAST_LOOK)
    raise Failure(_ending(process.returncode))
