import json
import socket
import threading
from collections import deque
from collections.abc import Callable
from contextlib import suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from itertools import count
from typing import Any, Self

from tests.scripted.exchange import ClientGone, Exchange, ProviderCuts, Received
from tests.scripted.renderings import RENDERINGS
from tests.scripted.steps import Reply, Status, Step


class ScriptedProvider:
    def __init__(self) -> None:
        self.default: Step = Reply("Hello", " world")
        self.requests: list[Received] = []
        self._queue: deque[Step] = deque()
        self._choose: Callable[[Received], Step | None] = lambda received: None
        self._arrived = threading.Condition()
        self._server = Server(self)
        self.base_url = f"http://127.0.0.1:{self._server.server_port}/v1"

    def reset(self) -> None:
        """As new: nothing scripted, nothing received. Open connections stay."""
        with self._arrived:
            self.default = Reply("Hello", " world")
            self.requests = []
            self._queue.clear()
            self._choose = lambda received: None

    @property
    def connections(self) -> int:
        return self._server.accepted

    @property
    def open_connections(self) -> int:
        return len(self._server.open)

    def enqueue(self, *steps: Step) -> None:
        self._queue.extend(steps)

    def on(self, choose: Callable[[Received], Step | None]) -> None:
        self._choose = choose

    def wait_for_request(self, n: int = 1, timeout: float = 5) -> Received:
        """The n-th request, counted from 1. Raises TimeoutError."""
        with self._arrived:
            if not self._arrived.wait_for(lambda: len(self.requests) >= n, timeout):
                raise TimeoutError(f"{len(self.requests)} of {n} requests arrived in {timeout} s")
            return self.requests[n - 1]

    def drop_connections(self) -> None:
        for connection in tuple(self._server.open):
            connection.drop()

    def step_for(self, received: Received) -> Step:
        with self._arrived:
            self.requests.append(received)
            self._arrived.notify_all()
            if received.path not in RENDERINGS:
                return Status(404, f"no such path: {received.path}")
            if self._queue:
                return self._queue.popleft()
        return self._choose(received) or self.default

    def __enter__(self) -> Self:
        threading.Thread(target=self._server.serve_forever, args=(0.02,), daemon=True).start()
        return self

    def __exit__(self, *exception: object) -> None:
        self._server.shutdown()
        self._server.server_close()
        self.drop_connections()


class Server(ThreadingHTTPServer):
    request_queue_size = 1024
    daemon_threads = True

    def __init__(self, provider: ScriptedProvider) -> None:
        self.provider = provider
        self.open: set[Connection] = set()
        self.connection_ids = count(1)
        self.accepted = 0
        super().__init__(("127.0.0.1", 0), Connection)

    def get_request(self) -> tuple[socket.socket, Any]:
        accepted = super().get_request()
        self.accepted += 1
        return accepted

    def shutdown_request(self, request: Any) -> None:
        # The inherited one sends a FIN first, and a reset would no longer be one.
        self.close_request(request)


class Connection(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    server: Server

    def setup(self) -> None:
        super().setup()
        self.ended_here = False
        self.received: list[Received] = []
        self.id = next(self.server.connection_ids)
        self.server.open.add(self)

    def do_POST(self) -> None:
        raw = self.rfile.read(int(self.headers["Content-Length"]))
        received = Received(self.path, self.headers, raw, json.loads(raw), self.id)
        self.received.append(received)
        try:
            self.server.provider.step_for(received).play(Exchange(self.connection, received))
            received.finished.set()
        except ClientGone:
            self.close_connection = True
        except ProviderCuts:
            self.close_connection = self.ended_here = True
            received.finished.set()

    def drop(self) -> None:
        self.ended_here = True
        with suppress(OSError):
            self.connection.shutdown(socket.SHUT_RDWR)

    def finish(self) -> None:
        if not self.ended_here:
            for received in self.received:
                received.closed.set()
        self.server.open.discard(self)
        super().finish()

    def handle(self) -> None:
        with suppress(ConnectionError):
            super().handle()

    def log_message(self, *arguments: object) -> None:
        pass
