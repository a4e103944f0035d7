"""What waits for a socket: in order, whole, bounded."""

from __future__ import annotations

import socket
from collections.abc import Iterator

import gevent
import pytest
from gevent import socket as cooperative

from app.gateway_ws.outbox import Outbox

MEGABYTE = 1024 * 1024


class Pair:
    """An outbox and the socket at whose other end its bytes come out."""

    def __init__(self, limit: int) -> None:
        near, self.far = cooperative.socketpair()
        near.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 16 * 1024)
        self.overflows = 0
        self.outbox = Outbox(near, limit, self._overflowed)
        self.near = near

    def _overflowed(self) -> None:
        self.overflows += 1

    def read(self, size: int) -> bytes:
        data = b""
        with gevent.Timeout(10):
            while len(data) < size:
                data += self.far.recv(65536)
        return data


@pytest.fixture
def pair() -> Iterator[Pair]:
    made = Pair(8 * MEGABYTE)
    yield made
    made.near.close()
    made.far.close()


def test_what_the_socket_takes_is_written_at_once(pair: Pair) -> None:
    """Without a greenlet, and nothing waits."""
    pair.outbox.put(b"hello")
    assert pair.outbox.size == 0
    assert pair.far.recv(5) == b"hello"


def test_the_order_is_kept_and_every_piece_is_whole(pair: Pair) -> None:
    """Also when the socket takes only a part of one."""
    pieces = [bytes([65 + number % 26]) * (number * 997) for number in range(200)]
    for piece in pieces:
        pair.outbox.put(piece)
    assert pair.outbox.size > 0
    whole = b"".join(pieces)
    assert pair.read(len(whole)) == whole
    assert pair.outbox.flush(10)
    assert pair.outbox.size == 0


def test_too_much_is_told_and_what_waits_can_be_given_up(pair: Pair) -> None:
    """The piece that is half written still comes whole, then the last word."""
    first = b"1" * MEGABYTE
    pair.outbox.put(first)
    gevent.sleep(0)
    while not pair.overflows:
        pair.outbox.put(b"2" * MEGABYTE)
    pair.outbox.replace(b"last")
    assert pair.outbox.size <= MEGABYTE + 4
    assert pair.read(MEGABYTE + 4) == first + b"last"
    assert pair.outbox.flush(10)
    assert pair.outbox.size == 0


def test_giving_up_before_the_writer_began_keeps_the_half_written_piece(pair: Pair) -> None:
    """A frame that was cut would make everything behind it unreadable."""
    first = b"1" * MEGABYTE
    pair.outbox.put(first)
    pair.outbox.put(b"2" * MEGABYTE)
    pair.outbox.replace(b"last")
    assert pair.read(MEGABYTE + 4) == first + b"last"


def test_a_reader_that_is_gone_ends_it(pair: Pair) -> None:
    """Nothing waits any more, and putting more in does no harm."""
    pair.outbox.put(b"1" * MEGABYTE)
    pair.far.close()
    pair.outbox.flush(10)
    pair.outbox.put(b"2")
    assert pair.outbox.size == 0
    assert not pair.outbox.flush(0.1)


def test_flushing_a_reader_that_waits_takes_no_longer_than_allowed(pair: Pair) -> None:
    """And says that it is not done."""
    pair.outbox.put(b"1" * MEGABYTE)
    assert not pair.outbox.flush(0.05)
