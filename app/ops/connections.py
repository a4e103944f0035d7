"""Who is connected to this worker: how long each may be silent, how many there may be, and who goes first.

A connection is a stranger's until a request on it was authenticated. What waits for a request may be closed at any
time, what is in the middle of one never is.
"""

from __future__ import annotations

import logging
import select
import socket
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import suppress
from typing import Any

import gevent

from app.auth.proxies import Proxies, network_of
from app.config.settings import ConnectionLimits
from app.errors import RequestTimeout
from app.readiness import ready_for

log = logging.getLogger("gateway.worker")

# Seconds between two looks at all that wait, and between two lines in the log about those that were closed.
LOOK_EVERY = 1.0
TELL_EVERY = 10.0
# Connections beyond the capacity that are still taken, to answer whether the gateway lives.
RESERVE = 256

# Everything that comes from this machine; a unix socket has no address at all.
_LOCAL = "this machine"


class Connection:
    """One client's. sock: its socket. stranger: nothing was authenticated on it yet.

    surplus: there is no room for it, so that only health is answered.
    """

    __slots__ = ("_house", "has_begun", "is_first", "near", "network", "since", "sock", "stranger", "surplus")

    def __init__(self, house: Connections, sock: Any, network: str, near: bool) -> None:
        self._house = house
        self.sock = sock
        self.network = network
        self.near = near
        self.stranger = True
        self.surplus = False
        # Of the request that is waited for: since when, whether it is the first, whether its first byte came.
        self.since = 0.0
        self.is_first = True
        self.has_begun = False

    def admitted(self) -> None:
        """Its client has shown who it is."""
        if self.stranger:
            self.stranger = False
            self._house.forget_stranger(self)

    def await_request(self) -> None:
        """Wait for the first byte of the next request, or for the end. Cooperative."""
        self._house.waits(self)
        sock = self.sock
        if sock.fileno() < 0:
            return
        if not getattr(sock, "pending", int)():  # bytes that TLS has read already
            # One that is closed to make room has nothing more to read, and that its reader finds as well.
            with suppress(OSError):
                gevent.get_hub().wait(sock._read_event)
        self._house.begins(self)

    def has_next(self) -> None:
        """The beginning of the next request was read with the last one; the rest of its headers has its time."""
        self._house.waits(self)
        self._house.begins(self)


class Connections:
    """All of one worker. They belong to the greenlets that serve them.

    capacity: how many there may be; so many more as ``RESERVE`` are told that there is no room. kept: seconds for which
    a connection is kept after a request. limits: the settings in force.
    """

    def __init__(self, capacity: int, kept: float, limits: Callable[[], ConnectionLimits], proxies: Proxies) -> None:
        self.capacity = capacity
        self.proxies = proxies
        self._kept = kept
        self._limits = limits
        self._all: dict[Any, Connection] = {}
        # In the order in which they began to wait: the longest silent first.
        self._waiting: dict[Connection, None] = {}
        self._strangers: dict[str, dict[Connection, None]] = {}
        self._closed = 0
        self._told = 0.0

    def __len__(self) -> int:
        return len(self._all)

    def __iter__(self) -> Iterator[Connection]:
        return iter(list(self._all.values()))

    def of(self, sock: Any) -> Connection:
        return self._all[sock]

    def enter(self, sock: Any, peer: str) -> Connection:
        """Take a connection in; for its sake one that waits may have to go."""
        near = not peer or self.proxies.is_near(peer)
        local = not peer or self.proxies.is_loopback(peer)
        connection = Connection(self, sock, _LOCAL if local else network_of(peer), near)
        strangers = self._strangers.setdefault(connection.network, {})
        if len(strangers) >= self._most(connection) and not self._close_one(strangers, connection.network):
            connection.surplus = True
        if len(self._all) >= self.capacity and not self.make_room():
            connection.surplus = True
        self._all[sock] = connection
        self._strangers.setdefault(connection.network, {})[connection] = None
        return connection

    def _most(self, connection: Connection) -> int:
        """How many strangers there may be where this one comes from."""
        limits = self._limits()
        return min(limits.per_proxy if connection.near else limits.per_address, max(self.capacity // 2, 1))

    def leave(self, connection: Connection) -> None:
        self._all.pop(connection.sock, None)
        self._waiting.pop(connection, None)
        self.forget_stranger(connection)

    def forget_stranger(self, connection: Connection) -> None:
        strangers = self._strangers.get(connection.network)
        if strangers is not None:
            strangers.pop(connection, None)
            if not strangers:
                del self._strangers[connection.network]

    def make_room(self) -> bool:
        """Close the connection that has been silent for longest, strangers' first; False if none waits."""
        strangers = (connection for connection in self._waiting if connection.stranger)
        return self._close_one(strangers, "all") or self._close_one(self._waiting, "all")

    # What becomes of each.

    def waits(self, connection: Connection) -> None:
        self._waiting.pop(connection, None)
        connection.since = time.monotonic()
        connection.has_begun = False
        self._waiting[connection] = None

    def begins(self, connection: Connection) -> None:
        """The first byte is there. The headers of a first request have their time from the connection's beginning."""
        if connection in self._waiting:
            connection.has_begun = True
            if not connection.is_first:
                del self._waiting[connection]
                connection.since = time.monotonic()
                self._waiting[connection] = None

    def works(self, connection: Connection) -> None:
        """A whole request is there: nobody closes the connection until it ``waits`` again."""
        self._waiting.pop(connection, None)
        connection.is_first = False
        if connection.surplus:
            # Others may have gone since it came.
            strangers = self._strangers.get(connection.network, {})
            connection.surplus = len(self._all) > self.capacity or len(strangers) > self._most(connection)

    def watch(self) -> None:
        """Close again and again what has been silent for too long. Never returns."""
        while True:
            gevent.sleep(LOOK_EVERY)
            try:
                self._look(time.monotonic())
            except Exception:
                # Nobody else closes silent connections.
                log.exception("looking after connections failed")

    def _look(self, now: float) -> None:
        for_headers = self._limits().headers_seconds
        for connection in list(self._waiting):
            begins_late = connection.is_first or connection.has_begun
            if now - connection.since < (for_headers if begins_late else self._kept):
                continue
            if connection.has_begun:
                late = RequestTimeout(f"the headers of the request did not come within {for_headers:g} s")
                gevent.get_hub().cancel_wait(connection.sock._read_event, late)
            else:
                self._close(connection)
        if self._closed and now - self._told > TELL_EVERY:
            self._told, closed, self._closed = now, self._closed, 0
            log.warning("%d silent connections were closed to make room; %d are open", closed, len(self._all))

    def _close_one(self, candidates: Iterable[Connection], whose: str) -> bool:
        for connection in candidates:
            # What is readable is a request that its greenlet has not come to yet.
            descriptor = connection.sock.fileno()
            if connection in self._waiting and descriptor >= 0 and not ready_for(descriptor, select.POLLIN):
                self._closed += 1
                log.debug("a silent connection of %s makes room for another of %s", connection.network, whose)
                self._close(connection)
                return True
        return False

    def _close(self, connection: Connection) -> None:
        """Its greenlet finds the end of the connection when it is next its turn."""
        self._waiting.pop(connection, None)
        self.forget_stranger(connection)
        try:
            connection.sock.shutdown(socket.SHUT_RDWR)
        except OSError as fault:
            log.debug("a silent connection was gone: %s", fault)
