"""One MCP server as the gateway sees it: kept running through its bridges, asked by runs."""

from __future__ import annotations

import logging
import os
import time
from collections.abc import Mapping
from itertools import count
from pathlib import Path
from typing import Any

import gevent
import orjson
from gevent import Greenlet
from gevent.event import AsyncResult, Event

from app.agents.tools.mcp.discretion import Discretion
from app.agents.tools.mcp.link import Link
from app.agents.tools.mcp.wire import GRACE, MAX_ARGUMENTS, MAX_DETAIL, Failure, Listed, Order, cut
from app.agents.tools.tool import ToolFailed
from app.config.environment import environment_of_children
from app.config.settings import McpServer

log = logging.getLogger("gateway.mcp")

# Calls of one server that are under way.
MAX_PENDING = 64
# Seconds between an end and the next start: doubled from the first to the longest.
FIRST_PAUSE = 1.0
LONGEST_PAUSE = 60.0
# Seconds. A server that worked for so long did not fail to start.
PROVEN = 60.0
# Seconds that a bridge has beyond a request's time; what the SDK tells a server then may take 5 of them.
LATE = 8.0


def pause(failures: int) -> float:
    """Seconds to wait before the next try, after so many failures in a row."""
    return min(LONGEST_PAUSE, FIRST_PAUSE * 2.0 ** min(failures - 1, 10))


class Server:
    """A server from ``start`` to ``close``, through however many bridges that takes.

    listed: its tools as it told them last, whether it runs or not. settled: set when that or a failure is known.
    """

    def __init__(self, settings: McpServer, folder: Path) -> None:
        self.settings = settings
        self.folder = folder
        self.listed: tuple[Listed, ...] = ()
        self.settled = Event()
        self._timeout = settings.request_timeout_ms / 1000
        self._keeper: Greenlet[[], None] | None = None
        self._link: Link | None = None
        self._ready_since: float | None = None
        self._failure: Failure | None = None
        self._pending: dict[int, AsyncResult[str]] = {}
        self._numbers = count(1)
        self._discretion = Discretion(settings)
        # Of its tools those that can't be offered, and why.
        self.refused: tuple[str, ...] = ()

    def start(self) -> None:
        """Have it running from now on. Returns at once."""
        if self._keeper is None:
            self._keeper = gevent.spawn(self._keep)

    def state(self) -> str:
        """``ready``, ``starting``, or ``failed: `` and why, for whoever runs the gateway, until it is ready again."""
        if self._ready_since is not None:
            return "ready"
        if self._failure is None:
            return "starting"
        return f"failed: {': '.join(filter(None, [self._failure.reason, self._failure.detail]))}"

    def close(self) -> Greenlet[[], None] | None:
        """End it for good. Returns at once; what it returns ends when the server's processes are gone."""
        keeper, self._keeper = self._keeper, None
        if keeper is not None:
            keeper.kill(block=False)
        self._failure = self._failure or Failure("it was stopped")
        self.settled.set()
        return keeper

    def call(self, tool: str, arguments: Mapping[str, Any]) -> str:
        """The result of a tool, by the server's own name for it. Raises ToolFailed.

        A greenlet that is killed here cancels its request.
        """
        name, link = self.settings.name, self._link
        if link is None or self._ready_since is None:
            raise ToolFailed(self._gone())
        if len(self._pending) >= MAX_PENDING:
            raise ToolFailed(f"MCP server {name!r} has {MAX_PENDING} calls under way already; try again later")
        number = next(self._numbers)
        line = orjson.dumps({"id": number, "call": tool, "arguments": arguments})
        if len(line) > MAX_ARGUMENTS:
            raise ToolFailed(f"the arguments have {len(line):,} bytes, more than {MAX_ARGUMENTS:,}")
        answer = self._pending[number] = AsyncResult()
        try:
            link.say(line)
            answer.wait(self._timeout + LATE)
            if not answer.ready():
                link.kill()
                raise ToolFailed(f"MCP server {name!r} did not answer in time and is being restarted")
            text = answer.get(block=False)
            assert text is not None
            return text
        finally:
            if self._pending.pop(number, None) is not None and link is self._link:
                link.say(orjson.dumps({"id": number, "cancel": True}))

    # In the keeper's greenlet.

    def _keep(self) -> None:
        failures = 0
        while True:
            failures = 1 if self._live() else failures + 1
            gevent.sleep(pause(failures))

    def _live(self) -> bool:
        """One bridge from start to end. Whether its server worked for a while."""
        try:
            link = self._link = Link(self._order())
        except OSError as error:
            self._end(Failure("its bridge can't be started", str(error)))
            return False
        failure = Failure("it was stopped")
        try:
            for news in link.news():
                self._hear(news)
            failure = Failure(link.close(GRACE))
        except Failure as told:
            failure = told
        except Exception as error:
            log.exception("MCP server %s: its bridge says what it should not", self.settings.name)
            failure = Failure("its bridge can't be understood", repr(error))
        finally:
            worked = self._ready_since is not None and time.monotonic() - self._ready_since >= PROVEN
            self._end(failure)
            link.close(2 * GRACE)
        return worked

    def _order(self) -> Order:
        settings = self.settings
        return Order(
            name=settings.name,
            timeout=self._timeout,
            command=settings.command,
            arguments=settings.args,
            environment={**environment_of_children(), **settings.env},
            folder=str(self.folder / os.path.expanduser(settings.cwd or "")),
            url=settings.url,
            headers=dict(settings.headers),
            secrets=self._discretion.values,
        )

    def _hear(self, news: Mapping[str, Any]) -> None:
        """Raises Failure when it is the last."""
        if "failed" in news:
            raise Failure(news["failed"], news["detail"])
        if "tools" in news:
            self._learn([Listed(*tool) for tool in news["tools"]], news["refused"])
        for line in news.get("words", ()):
            log.debug("MCP server %s: %s", self.settings.name, self._discretion.told(line))
        # One that nobody waits for any more was cancelled when its answer was on its way.
        if "id" in news and (answer := self._pending.pop(news["id"], None)):
            if "error" in news:
                answer.set_exception(ToolFailed(self._discretion.answered(news["error"])))
            else:
                answer.set(self._discretion.answered(news["text"]))

    def _learn(self, listed: list[Listed], refused: list[str]) -> None:
        told = tuple(self._discretion.told(each) for each in refused)
        if told and told != self.refused:
            log.warning("MCP server %s: left out: %s", self.settings.name, cut("; ".join(told), MAX_DETAIL))
        self.refused = told
        # The same again stays the same object: those who compare it do so for each run.
        if self.listed != (known := tuple(listed)):
            self.listed = known
        if self._ready_since is None:
            self._ready_since = time.monotonic()
            self._failure = None
            log.info("MCP server %s is ready with %d tools", self.settings.name, len(listed))
        self.settled.set()

    def _end(self, failure: Failure) -> None:
        reason, detail = self._discretion.told(failure.reason), self._discretion.told(failure.detail)
        # The same again is no news.
        known = self._failure is not None and self._failure.reason == reason
        self._link = self._ready_since = None
        self._failure = Failure(reason, detail)
        if self._keeper is not None:
            log.log(logging.DEBUG if known else logging.WARNING, "MCP server %s %s", self.settings.name, self.state())
        pending, self._pending = self._pending, {}
        for answer in pending.values():
            answer.set_exception(ToolFailed(self._gone()))
        self.settled.set()

    def _gone(self) -> str:
        reason = self._failure.reason if self._failure else "it is starting"
        future = "it is being restarted" if self._keeper is not None else "it will not be started again"
        return f"MCP server {self.settings.name!r} is not running ({reason}); {future}"
