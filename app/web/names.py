"""Addresses of host names, looked up in threads of their own: a name that hangs holds up nobody but its own callers.

gevent's resolver has ten threads for everything, and numeric addresses pass through them as well.
"""

from __future__ import annotations

import socket
import time
from collections import deque
from collections.abc import Callable
from ipaddress import ip_address
from typing import Any

import gevent
from gevent import monkey
from gevent.event import Event
from gevent.resolver.thread import Resolver as ThreadResolver

# Seconds. That long an answer is waited for; then its name counts as not found for a while.
PATIENCE = 10.0
# Seconds for which an answer is used again, a refusal, and that there was no answer.
FOUND, REFUSED, SILENT = 30.0, 3.0, 15.0
# Threads in all, and for one name: a second look finds out that the name servers are well again.
THREADS = 16
EACH = 2
# Names that are remembered.
MOST = 1000

# What the C library gives for each address: family, type, protocol, canonical name, address.
Addresses = list[tuple[Any, ...]]
LookUp = Callable[..., Addresses]

_getaddrinfo = monkey.get_original("socket", "getaddrinfo")
_start_thread = monkey.get_original("_thread", "start_new_thread")


class _Name:
    """What is known of a name. running: look-ups under way. done: nobody has to wait for one."""

    __slots__ = ("began", "done", "result", "running", "until")

    def __init__(self) -> None:
        self.result: Addresses | OSError = []
        self.until = self.began = 0.0
        self.running = 0
        self.done = Event()
        self.done.set()

    def settle(self, result: Addresses | OSError, seconds: float) -> None:
        self.result, self.until = result, time.monotonic() + seconds
        self.done.set()


class Resolver(ThreadResolver):
    """A resolver for gevent's hub. All who ask for one name wait for one look-up, up to ``patience`` seconds.

    look_up: as ``socket.getaddrinfo``; called in threads. start_thread: as ``_thread.start_new_thread``.
    """

    def __init__(
        self,
        look_up: LookUp = _getaddrinfo,
        *,
        patience: float = PATIENCE,
        silent: float = SILENT,
        threads: int = THREADS,
        start_thread: Callable[..., object] = _start_thread,
    ) -> None:
        super().__init__()
        self._look_up = look_up
        self._start_thread = start_thread
        self._patience = patience
        self._silent = silent
        self._idle = threads
        self._names: dict[tuple[Any, ...], _Name] = {}
        self._queue: deque[tuple[tuple[Any, ...], _Name]] = deque()

    def getaddrinfo(  # noqa: PLR0917 - as the C library has them
        self,
        host: str | bytes | None,
        port: str | bytes | int | None,
        family: int = 0,
        type: int = 0,
        proto: int = 0,
        flags: int = 0,
    ) -> Addresses:
        """As the C library's, but for PATIENCE. Raises socket.gaierror: EAI_AGAIN where there is no answer in time."""
        if isinstance(host, bytes):
            host = host.decode("idna")
        if not host or _is_address(host):
            return self._look_up(host, port, family, type, proto, flags | (socket.AI_NUMERICHOST if host else 0))
        number = _port_number(port)
        found = self._find((host, family, type, proto, flags))
        return [(*kind, (address[0], number, *address[2:])) for *kind, address in found]

    def gethostbyname(self, hostname: str, family: int = socket.AF_INET) -> str:
        return str(self.getaddrinfo(hostname, 0, family, socket.SOCK_STREAM)[0][4][0])

    def _find(self, key: tuple[Any, ...]) -> Addresses:
        name = self._names.get(key)
        if name is None:
            self._forget()
            name = self._names[key] = _Name()
        if time.monotonic() >= name.until:
            if name.done.is_set() and name.running < EACH:
                self._begin(key, name)
            if not name.done.wait(max(0.0, name.began + self._patience - time.monotonic())):
                name.settle(_silence(self._patience), self._silent)
        if isinstance(name.result, OSError):
            raise socket.gaierror(*name.result.args)
        return name.result

    def _begin(self, key: tuple[Any, ...], name: _Name) -> None:
        name.began = time.monotonic()
        name.running += 1
        name.done.clear()
        self._queue.append((key, name))
        self._start_waiting()

    def _start_waiting(self) -> None:
        while self._idle and self._queue:
            key, name = self._queue.popleft()
            if name.done.is_set():
                name.running -= 1  # those who asked have given up
                continue
            try:
                self._start_thread(self._work, (gevent.get_hub().loop, key, name))
            except RuntimeError as error:
                # The system has no thread left: for this name's callers that is no answer, and for the others no end.
                name.running -= 1
                name.settle(socket.gaierror(socket.EAI_AGAIN, str(error)), REFUSED)
                continue
            self._idle -= 1

    def _work(self, loop: Any, key: tuple[Any, ...], name: _Name) -> None:
        """In a thread, which has no hub."""
        host, family, kind, proto, flags = key
        result: Addresses | OSError
        try:
            result = self._look_up(host, 0, family, kind, proto, flags)
        except OSError as error:
            result = socket.gaierror(*error.args)  # without its traceback
        except Exception as error:  # a name that can't be one, such as an empty label
            result = socket.gaierror(socket.EAI_NONAME, str(error))
        loop.run_callback_threadsafe(self._ended, name, result)

    def _ended(self, name: _Name, result: Addresses | OSError) -> None:
        self._idle += 1
        name.running -= 1
        if not isinstance(result, OSError):
            name.settle(result, FOUND)
        elif time.monotonic() >= name.until:
            name.settle(result, REFUSED)
        self._start_waiting()

    def _forget(self) -> None:
        if len(self._names) >= MOST:
            unused = [key for key, name in self._names.items() if not name.running]
            for key in unused[: len(unused) // 2 + 1]:
                del self._names[key]


def install() -> None:
    """Have the hub of this thread look names up so."""
    hub: Any = gevent.get_hub()
    if not isinstance(hub.resolver, Resolver):
        hub.resolver = Resolver()


def _is_address(host: str) -> bool:
    try:
        ip_address(host)
    except ValueError:
        return False
    return True


def _port_number(port: str | bytes | int | None) -> int:
    try:
        return int(port or 0)
    except ValueError:
        name = port.decode() if isinstance(port, bytes) else str(port)
        try:
            return socket.getservbyname(name)
        except OSError:
            raise socket.gaierror(socket.EAI_SERVICE, "Servname not supported for ai_socktype") from None


def _silence(patience: float) -> socket.gaierror:
    return socket.gaierror(socket.EAI_AGAIN, f"no answer from the name servers in {patience:g} s")
