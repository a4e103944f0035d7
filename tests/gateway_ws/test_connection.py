"""Whether a connection still lives."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

from app.auth import Request
from app.gateway_ws.connection import PING_EVERY, TICK_EVERY, Connection

NOW = 1000.0


class Wire:
    """Where a socket would be: what was sent, and when the peer was heard."""

    def __init__(self) -> None:
        self.heard = NOW
        self.sent: list[str] = []
        self.outbox: Any = SimpleNamespace(drop=lambda: self.sent.append("dropped"))

    def send(self, data: bytes) -> None:
        self.sent.append("tick" if b'"tick"' in data else "other")

    def ping(self) -> None:
        self.sent.append("ping")


def connection() -> tuple[Connection, Wire]:
    wire: Any = Wire()
    made = Connection(SimpleNamespace(), wire, Request("127.0.0.1", {}))  # type: ignore[arg-type]
    made.begin_liveness(NOW)
    return made, wire


def test_ticks_and_pings_come_when_they_are_due() -> None:
    """Each at its own pace, and not before."""
    made, wire = connection()
    made.keep_alive(NOW + TICK_EVERY - 0.1)
    assert wire.sent == []
    for passed in range(int(TICK_EVERY), 61):
        wire.heard = NOW + passed
        made.keep_alive(NOW + passed)
    assert wire.sent.count("tick") == 60 // TICK_EVERY
    assert wire.sent.count("ping") == 60 // PING_EVERY


def test_a_peer_that_answers_nothing_is_given_up() -> None:
    """After it had a whole window to answer its ping; whoever is heard stays."""
    made, wire = connection()
    made.keep_alive(NOW + PING_EVERY)
    wire.heard = NOW + PING_EVERY + 1
    made.keep_alive(NOW + 2 * PING_EVERY)
    assert wire.sent.count("ping") == 2
    made.keep_alive(NOW + 3 * PING_EVERY - 1)
    assert "dropped" not in wire.sent
    made.keep_alive(NOW + 3 * PING_EVERY)
    assert wire.sent[-1] == "dropped"
