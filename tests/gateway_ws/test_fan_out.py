"""Events that many connections hear."""

from __future__ import annotations

import time
from typing import Any, cast

import gevent
import pytest

from app.concurrency.slices import SLICE
from app.gateway_ws.connection import Connection
from app.gateway_ws.fan_out import AT_ONCE, FanOut


class Listener:
    """Stands in for a connection. takes: seconds of work that each event costs."""

    def __init__(self, takes: float = 0.0) -> None:
        self.heard: list[bytes] = []
        self._takes = takes

    def send_rendered(self, event: bytes) -> None:
        until = time.perf_counter() + self._takes
        while time.perf_counter() < until:
            pass
        self.heard.append(event)


def listeners(count: int, takes: float = 0.0) -> tuple[list[Listener], list[Connection]]:
    found = [Listener(takes) for _ in range(count)]
    return found, cast("list[Connection]", found)


def test_few_are_told_at_once() -> None:
    """An event for a few connections is on its way when ``tell`` returns."""
    heard, hearing = listeners(3)
    FanOut().tell(hearing, b"a")
    assert [each.heard for each in heard] == [[b"a"]] * 3


@pytest.mark.parametrize("count", [1, AT_ONCE + 1])
def test_events_keep_their_order(count: int) -> None:
    """However many are told, and however fast they come, each connection hears all of them in order."""
    heard, hearing = listeners(count, takes=SLICE / 4 if count == 1 else 0.0)
    out, events = FanOut(), [str(number).encode() for number in range(50)]
    for event in events:
        out.tell(hearing, event)
    out.flush()
    assert all(each.heard == events for each in heard)


@pytest.mark.parametrize("count", [3, AT_ONCE + 1])
def test_one_that_fails_keeps_nothing_from_the_others(count: int) -> None:
    """An event that can't be told to one connection is told to the rest, and so are those behind it."""

    class Broken(Listener):
        id = "broken"

        def send_rendered(self, event: bytes) -> None:
            raise RuntimeError("no")

    heard, hearing = listeners(count)
    out = FanOut()
    for event in (b"a", b"b"):
        out.tell([*cast("list[Connection]", [Broken()]), *hearing], event)
    out.flush()
    assert all(each.heard == [b"a", b"b"] for each in heard)


def test_others_have_their_turn() -> None:
    """While more is told than can be at once, other greenlets go on."""
    _, hearing = listeners(20, takes=SLICE / 4)
    out, turns = FanOut(), 0

    def other() -> None:
        nonlocal turns
        while True:
            turns += 1
            gevent.sleep(0.000_1)

    greenlet: Any = gevent.spawn(other)
    try:
        for number in range(10):
            out.tell(hearing, str(number).encode())
        out.flush()
    finally:
        greenlet.kill()
    assert turns > 10
