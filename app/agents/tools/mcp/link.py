"""The gateway's end of one bridge: its process and what is said with it."""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import gevent
import orjson
from gevent import socket
from gevent.queue import Full, Queue
from gevent.subprocess import DEVNULL, Popen

import app
from app.agents.tools.mcp.wire import MAX_LINE, Order
from app.children import orphans
from app.config.environment import environment_of_children

PROGRAM = "app.agents.tools.mcp.bridge"
# Lines that wait for a bridge to read them. One that is so far behind is stuck.
MAX_UNREAD = 1_000

_OUT_OF_MEMORY = (signal.SIGKILL, signal.SIGABRT)
_ROOT = Path(app.__file__).parents[1]


class Link:
    """A bridge from its start to its end. Raises OSError when it can't be started."""

    def __init__(self, order: Order) -> None:
        self._socket, theirs = socket.socketpair()
        try:
            with theirs, orphans.starting() as known:
                self._process = Popen(
                    [sys.executable, "-m", PROGRAM],
                    stdin=theirs.fileno(),
                    stdout=DEVNULL,
                    stderr=DEVNULL,
                    cwd=_ROOT,
                    env=environment_of_children(),
                    start_new_session=True,
                )
                known.add(self._process.pid)
        except BaseException:
            self._socket.close()
            raise
        self._unread: Queue[bytes] = Queue(MAX_UNREAD)
        self._writer = gevent.spawn(self._write)
        # Through the socket: arguments and environment of a process can be read by others.
        self.say(orjson.dumps(order._asdict()))

    def say(self, line: bytes) -> None:
        """Send a line, soon; never waits."""
        try:
            self._unread.put_nowait(line + b"\n")
        except Full:
            self.kill()

    def news(self) -> Iterator[dict[str, Any]]:
        """What the bridge says, until it ends. Raises ValueError for what is no news."""
        with self._socket.makefile("rb") as lines:
            while True:
                try:
                    line = lines.readline(MAX_LINE + 1)
                except OSError:
                    # It ended with something of ours unread.
                    return
                if not line.endswith(b"\n"):
                    return
                yield orjson.loads(line)

    def close(self, patience: float) -> str:
        """Let bridge and server end by themselves for so many seconds, then kill them. Returns how the bridge ended."""
        self._writer.kill()
        with suppress(OSError):
            self._socket.shutdown(socket.SHUT_RDWR)
        self._socket.close()
        try:
            self._process.wait(patience)
        finally:
            self.kill()
        code = self._process.wait()
        orphans.known.discard(self._process.pid)
        # What the server started, should its bridge have been killed before it could end that.
        orphans.end()
        if code >= 0:
            return f"its bridge ended with exit code {code}"
        # By the system, or by itself when it gets no more.
        guess = "; perhaps what the server sent took too much memory" if -code in _OUT_OF_MEMORY else ""
        return f"its bridge was killed by {signal.Signals(-code).name}{guess}"

    def kill(self) -> None:
        # The whole group: a bridge that was killed could not take its server along.
        with suppress(ProcessLookupError, PermissionError):
            os.killpg(self._process.pid, signal.SIGKILL)

    def _write(self) -> None:
        with suppress(OSError):
            while True:
                self._socket.sendall(self._unread.get())
