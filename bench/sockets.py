"""The clients of the control plane, in a process of their own: one epoll loop, and frames read by hand.

    python -m bench.sockets '{"kind": "events", "port": 18789, "model": "openclaw/paced", "token": "…", "count": 500}'

prints its figures as one JSON object; seconds everywhere.
"""

import gc
import json
import select
import socket
import sys
import time
from array import array
from collections.abc import Callable, Iterator
from contextlib import closing
from typing import Any

from bench.load import SETTLING, SILENCE, STAMP, WrongAnswer, percentiles
from bench.provider import PACE

UPGRADE = (
    b"GET / HTTP/1.1\r\nHost: 127.0.0.1\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
    b"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"
)
TEXT, PING, PONG = 0x81, 0x89, 0x8A
REFUSAL = b',"ok":false,"error":'
RESPONSE = b'{"type":"res"'
AGENT, CHAT = b'{"type":"event","event":"agent"', b'{"type":"event","event":"chat"'
# Clients that connect before what the others heard meanwhile is read.
BATCH = 50


class Client:
    """A connection of which hello-ok was heard. sent_at: of the last request."""

    def __init__(self, port: int, token: str) -> None:
        self.sock = socket.create_connection(("127.0.0.1", port), timeout=SILENCE)
        self.sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.sent_at = 0.0
        self.sock.sendall(UPGRADE)
        received = b""
        while b"\r\n\r\n" not in received:
            received += self._read()
        head, _, self._unfinished = received.partition(b"\r\n\r\n")
        if b" 101 " not in head:
            raise WrongAnswer(received.decode("latin-1"))
        self.hear(b'"connect.challenge"')
        self.request(
            "connect",
            minProtocol=4,
            maxProtocol=4,
            client={"id": "bench", "version": "1", "platform": "linux", "mode": "backend"},
            role="operator",
            scopes=["operator.admin"],
            auth={"token": token},
        )
        self.hear(b'"hello-ok"')

    def request(self, method: str, **params: Any) -> None:
        frame = {"type": "req", "id": method, "method": method, "params": params}
        self.send(TEXT, json.dumps(frame).encode())

    def send(self, opcode: int, payload: bytes) -> None:
        # A mask of zeros leaves the payload as it is.
        length = len(payload)
        size = bytes([0x80 | length]) if length < 126 else b"\xfe" + length.to_bytes(2, "big")
        self.sent_at = time.perf_counter()
        self.sock.sendall(bytes([opcode]) + size + b"\0\0\0\0" + payload)

    def hear(self, part: bytes) -> None:
        """Read on until a frame has this in it."""
        frames = self._complete()
        while not any(part in frame for frame in frames):
            if any(REFUSAL in frame for frame in frames):
                raise WrongAnswer(repr(frames))
            frames = self.frames()

    def frames(self) -> list[bytes]:
        """The payloads of the text frames that one read completes."""
        self._unfinished += self._read()
        return self._complete()

    def _read(self) -> bytes:
        data = self.sock.recv(65536)
        if not data:
            raise WrongAnswer("closed by the gateway")
        return data

    def _complete(self) -> list[bytes]:
        found = []
        data, start = self._unfinished, 0
        while len(data) - start >= 2:
            length, begin = data[start + 1], start + 2
            if length >= 126:
                begin += 2 if length == 126 else 8
                length = int.from_bytes(data[start + 2 : begin], "big")
            if len(data) < begin + length:
                break
            opcode, payload = data[start], data[begin : begin + length]
            start = begin + length
            if opcode == TEXT:
                found.append(payload)
            elif opcode == PING:
                self.send(PONG, payload)
            else:
                raise WrongAnswer(f"frame {opcode:#x} {payload[:200]!r}")
        self._unfinished = data[start:]
        return found


class Clients:
    """Many of them, and the loop that waits for what they hear."""

    def __init__(self, port: int, token: str, count: int) -> None:
        self.all: list[Client] = []
        self._poll = select.epoll()
        self._by_file: dict[int, Client] = {}
        while len(self.all) < count:
            client = Client(port, token)
            self.all.append(client)
            self._by_file[client.sock.fileno()] = client
            self._poll.register(client.sock, select.EPOLLIN)
            if len(self.all) % BATCH == 0:
                for _ in self.heard(0):
                    pass

    def heard(self, timeout: float = SILENCE) -> Iterator[tuple[Client, bytes]]:
        for file, _ in self._poll.poll(timeout):
            client = self._by_file[file]
            for frame in client.frames():
                yield client, frame

    def settle(self) -> None:
        """Until the last of them was told who else is there: much for the gateway to tell, and once."""
        last = self.all[-1]
        while not any(client is last and b'"event":"presence"' in frame for client, frame in self.heard()):
            pass

    def close(self) -> None:
        for client in self.all:
            client.sock.close()
        self._poll.close()


def idle(port: int, token: str, model: str, count: int) -> dict[str, float]:
    """Connects, settles, says so, and only listens until its input ends."""
    with closing(Clients(port, token, count)) as clients:
        clients.settle()
        print(json.dumps({"connected": count}), flush=True)
        ended = select.poll()
        ended.register(sys.stdin, select.POLLIN | select.POLLHUP)
        while not ended.poll(0):
            for _ in clients.heard(0.1):
                pass
    return {}


def events(port: int, token: str, model: str, count: int, seconds: float) -> dict[str, float]:
    """How late the tokens of one paced run are heard by so many clients, in both events that tell them.

    busy: the share of a core that this process took for it.
    """
    agent, chat = array("d"), array("d")
    with closing(Clients(port, token, count)) as clients:
        clients.settle()
        session = {"sessionKey": f"agent:{model.partition('/')[2]}:bench-{time.monotonic_ns()}"}
        clients.all[0].request("chat.send", **session, message="Begin.", idempotencyKey=f"run-{time.monotonic_ns()}")
        counted_from = time.monotonic() + 2 * SETTLING
        counted_to = counted_from + seconds
        used = time.process_time()
        while time.monotonic() < counted_to + 2 * SETTLING:
            for _, frame in clients.heard(0.02):
                if frame.startswith(AGENT):
                    late, start = agent, frame.rfind(b'"delta":"') + 9
                elif frame.startswith(CHAT):
                    late, start = chat, frame.find(b'"deltaText":"') + 13
                else:
                    continue
                now = time.monotonic()
                for stamp in STAMP.findall(frame, start, frame.find(b'"', start)):
                    if counted_from <= (sent := int(stamp) / 1e6) < counted_to:
                        late.append(now - sent)
        busy = (time.process_time() - used) / (seconds + 4 * SETTLING)
        clients.all[0].request("chat.abort", **session)
        clients.all[0].hear(b'"id":"chat.abort"')
    expected = count * PACE * seconds
    figures = {"arrived": len(agent) / expected, "arrived_chat": len(chat) / expected, "busy": busy}
    return {**figures, **percentiles(agent), **{f"{name}_chat": value for name, value in percentiles(chat).items()}}


def health(port: int, token: str, model: str, count: int, seconds: float) -> dict[str, float]:
    """``health`` asked again and again on each connection, each time when the answer is there."""
    latencies = array("d")
    with closing(Clients(port, token, count)) as clients:
        clients.settle()
        started = time.perf_counter()
        for client in clients.all:
            client.request("health")
        waiting = set(clients.all)
        while waiting:
            for client, frame in clients.heard():
                if not frame.startswith(RESPONSE):
                    continue
                if REFUSAL in frame:
                    raise WrongAnswer(frame.decode())
                now = time.perf_counter()
                latencies.append(now - client.sent_at)
                if now - started < seconds:
                    client.request("health")
                else:
                    waiting.remove(client)
        return {"rate": len(latencies) / (time.perf_counter() - started), **percentiles(latencies)}


KINDS: dict[str, Callable[..., dict[str, float]]] = {"idle": idle, "events": events, "health": health}


def main(kind: str, **job: Any) -> None:
    gc.disable()
    print(json.dumps(KINDS[kind](**job)))


if __name__ == "__main__":
    main(**json.loads(sys.argv[1]))
