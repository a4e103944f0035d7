"""The callers of the bench, in a process of their own: one epoll loop, cheaper than a greenlet for each.

    python -m bench.load '{"kind": "calls", "port": 18789, "model": "openclaw", "token": "…", "callers": 8}'

prints its figures as one JSON object; seconds everywhere.
"""

import gc
import json
import re
import select
import socket
import sys
import time
from array import array
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing
from typing import Any

from bench.provider import ANSWER, PACE

LENGTH = re.compile(rb"content-length: *(\d+)", re.IGNORECASE)
STAMP = re.compile(rb"@(\d{16});")
TEXT = json.dumps(ANSWER).encode()[1:-1]
SILENCE = 30.0
RAMP = 2.0
SETTLING = 0.5


class WrongAnswer(Exception):
    """An answer that is not the one which was asked for: its time says nothing."""


class Connection:
    def __init__(self, port: int, request: bytes) -> None:
        self.sock = socket.create_connection(("127.0.0.1", port), timeout=SILENCE)
        self.sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.received = b""
        self.asked_at = 0.0
        self._request = request
        self._unfinished = b""

    def ask(self) -> None:
        self.received = b""
        self.asked_at = time.perf_counter()
        self.sock.sendall(self._request)

    def read(self) -> bytes:
        data = self.sock.recv(65536)
        if not data:
            raise WrongAnswer(f"closed after {self.received[-500:]!r}")
        return data

    def stamps(self) -> Iterator[tuple[float, float]]:
        """When the tokens of a paced stream came, and when they were sent."""
        data = self.read()
        now = time.monotonic()
        if not self.received:
            self.received = data
            self.check_status()
        data = self._unfinished + data
        for stamp in STAMP.findall(data):
            yield now, int(stamp) / 1e6
        start = data.rfind(b"@")
        self._unfinished = data[start:] if start > data.rfind(b";") else b""

    def answered(self) -> bool:
        """Whether all of the answer is here, once ``received`` has grown."""
        head, blank, body = self.received.partition(b"\r\n\r\n")
        if not blank:
            return False
        length = LENGTH.search(head)
        if len(body) < int(length[1]) if length else not body.endswith(b"0\r\n\r\n"):
            return False
        self.check_status()
        return True

    def check_status(self) -> None:
        if not self.received.startswith(b"HTTP/1.1 200"):
            raise WrongAnswer(self.received[:1000].decode("latin-1"))

    def check_text(self) -> None:
        # The provider's own answer is a stream, with the text in pieces.
        if TEXT not in self.received and b"data: [DONE]" not in self.received:
            raise WrongAnswer(f"another text than the provider's: {self.received[-1000:]!r}")

    def close(self) -> None:
        self.sock.close()


class Callers:
    """Connections and the loop that waits for them."""

    def __init__(self, port: int, request: bytes) -> None:
        self._target = port, request
        self._poll = select.epoll()
        self._open: dict[int, Connection] = {}

    def add(self) -> None:
        connection = Connection(*self._target)
        self._open[connection.sock.fileno()] = connection
        self._poll.register(connection.sock, select.EPOLLIN)
        connection.ask()

    def ready(self, timeout: float = SILENCE) -> Iterator[Connection]:
        for file, _ in self._poll.poll(timeout):
            yield self._open[file]

    def close(self) -> None:
        for connection in self._open.values():
            connection.close()
        self._poll.close()


def calls(port: int, request: bytes, callers: int, seconds: float = 3600, total: int = 10**9) -> dict[str, float]:
    """Whole answers, one after the other on each connection, until the time or the number is over."""
    latencies = array("d")
    with closing(Callers(port, request)) as connections:
        started = time.perf_counter()
        for _ in range(callers):
            connections.add()
        asked, waiting = callers, callers
        while waiting:
            ready = list(connections.ready())
            if not ready:
                raise WrongAnswer(f"{waiting} calls without an answer for {SILENCE} s")
            for connection in ready:
                connection.received += connection.read()
                if not connection.answered():
                    continue
                now = time.perf_counter()
                connection.check_text()
                latencies.append(now - connection.asked_at)
                if asked < total and now - started < seconds:
                    asked += 1
                    connection.ask()
                else:
                    waiting -= 1
        return {"rate": len(latencies) / (time.perf_counter() - started), **percentiles(latencies)}


def streams(port: int, request: bytes, count: int, seconds: float) -> dict[str, float]:
    """How late the tokens of paced streams are, and which share of them came, once all streams are open."""
    late = array("d")
    with closing(Callers(port, request)) as connections:
        opened = 0
        started = time.monotonic()
        counted_from = started + RAMP + SETTLING
        counted_to = counted_from + seconds
        while (now := time.monotonic()) < counted_to + SETTLING:
            while opened < count * min(1.0, (now - started) / RAMP):
                connections.add()
                opened += 1
            for connection in connections.ready(0.002):
                late.extend(now - sent for now, sent in connection.stamps() if counted_from <= sent < counted_to)
    return {"arrived": len(late) / (count * PACE * seconds), **percentiles(late)}


def held(port: int, request: bytes, count: int) -> dict[str, float]:
    """Opens streams, waits for the first token of each, says so, and holds them until its input ends."""
    with closing(Callers(port, request)) as connections:
        for _ in range(count):
            connections.add()
        begun = 0
        while begun < count:
            ready = list(connections.ready())
            if not ready:
                raise WrongAnswer(f"{count - begun} streams without a token for {SILENCE} s")
            for connection in ready:
                before = b'"held"' in connection.received
                connection.received += connection.read()
                connection.check_status()
                begun += not before and b'"held"' in connection.received
        print(json.dumps({"held": count}), flush=True)
        sys.stdin.read()
    return {}


def percentiles(seconds: Sequence[float]) -> dict[str, float]:
    ordered = sorted(seconds)
    if not ordered:
        raise WrongAnswer("nothing was measured")
    return {"p50": ordered[len(ordered) // 2], "p99": ordered[int(len(ordered) * 0.99)]}


def chat_request(model: str, stream: bool, token: str) -> bytes:
    messages = [{"role": "system", "content": "Answer in one sentence."}, {"role": "user", "content": "What jumps?"}]
    body = json.dumps({"model": model, "stream": stream, "messages": messages}).encode()
    head = (
        "POST /v1/chat/completions HTTP/1.1\r\nHost: 127.0.0.1\r\n"
        f"Authorization: Bearer {token}\r\nContent-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n"
    )
    return head.encode() + body


KINDS: dict[str, Callable[..., dict[str, float]]] = {"calls": calls, "streams": streams, "held": held}


def main(kind: str, port: int, model: str, token: str, **numbers: Any) -> None:
    gc.disable()
    request = chat_request(model, kind != "calls", token)
    print(json.dumps(KINDS[kind](port, request, **numbers)))


if __name__ == "__main__":
    main(**json.loads(sys.argv[1]))
