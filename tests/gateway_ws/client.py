"""A client of the control plane for tests: synchronous, and nothing that it hears is lost.

Every frame that it hears must meet the published schema, and no event of a connection may be missing.
"""

from __future__ import annotations

import itertools
import json
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import websocket

from tests.gateway_ws.contract import check_frame, check_result
from tests.live.gateway import PATIENCE, TOKEN, Gateway

Frame = dict[str, Any]

CLIENT = {"id": "test", "version": "1.0", "platform": "linux", "mode": "test"}
ALL = ("operator.admin",)


class Refused(Exception):
    """An error response."""

    def __init__(self, error: Frame) -> None:
        super().__init__(error["message"])
        self.error = error

    @property
    def code(self) -> str:
        code: str = self.error["code"]
        return code


class Closed(Exception):
    def __init__(self, code: int | None, reason: str) -> None:
        super().__init__(f"{code} {reason}")
        self.code = code
        self.reason = reason


class Client:
    """One connection. events: all that were heard so far, in order."""

    def __init__(self, gateway: Gateway, path: str = "/", **options: Any) -> None:
        url = f"ws://127.0.0.1:{gateway.port}{path}"
        self.socket = websocket.create_connection(url, timeout=PATIENCE, suppress_origin=True, **options)
        self.events: list[Frame] = []
        self.hello: Frame = {}
        self._ids = itertools.count(1)
        self._seqs = itertools.count(1)
        self._methods: dict[str, str] = {}
        self._responses: dict[str, list[Frame]] = {}
        self.nonce = ""

    def connect(self, token: str | None = TOKEN, *, scopes: Any = ALL, **changes: Any) -> Client:
        """The handshake. changes: top-level parameters of ``connect``."""
        self.challenge()
        params = {
            "minProtocol": 4,
            "maxProtocol": 4,
            "client": CLIENT,
            "role": "operator",
            "scopes": list(scopes) if isinstance(scopes, tuple) else scopes,
            "caps": [],
            **({"auth": {"token": token}} if token is not None else {}),
        }
        self.hello = self.call("connect", {**params, **changes})
        return self

    def challenge(self) -> str:
        frame = self.receive()
        assert frame["event"] == "connect.challenge", frame
        self.nonce = frame["payload"]["nonce"]
        return self.nonce

    def call(self, method: str, params: Any = None, timeout: float = PATIENCE) -> Any:
        """The payload of the response. Raises Refused."""
        return self.answer(self.begin(method, params), timeout)

    def begin(self, method: str, params: Any = None) -> str:
        """Send a request; its id."""
        id = str(next(self._ids))
        self._methods[id] = method
        frame = {"type": "req", "id": id, "method": method}
        self.send(frame if params is None else {**frame, "params": params})
        return id

    def send(self, frame: Any) -> None:
        self.socket.send(frame if isinstance(frame, str) else json.dumps(frame))

    def answer(self, id: str, timeout: float = PATIENCE) -> Any:
        """The next response to this id. Raises Refused."""
        self._until(lambda: self._responses.get(id), timeout, f"a response to {id}")
        frame = self._responses[id].pop(0)
        if not frame["ok"]:
            raise Refused(frame["error"])
        payload = frame.get("payload")
        check_result(self._methods.get(id, ""), payload)
        return payload

    def event(self, name: str, timeout: float = PATIENCE, **payload: Any) -> Frame:
        """The first event of this name with these values in its payload, heard already or not."""

        def find() -> Frame | None:
            return next((event for event in self.heard(name) if payload.items() <= event["payload"].items()), None)

        self._until(lambda: find() is not None, timeout, f"an event {name} {payload}")
        found = find()
        assert found is not None
        return found

    def heard(self, name: str) -> list[Frame]:
        return [event for event in self.events if event["event"] == name]

    def receive(self, timeout: float = PATIENCE) -> Frame:
        """The next frame. Raises Closed, TimeoutError."""
        self.socket.settimeout(timeout)
        try:
            opcode, data = self.socket.recv_data()
        except websocket.WebSocketTimeoutException:
            raise TimeoutError from None
        except (websocket.WebSocketConnectionClosedException, ConnectionError) as error:
            raise Closed(None, str(error)) from None
        if opcode == websocket.ABNF.OPCODE_CLOSE:
            code = int.from_bytes(data[:2], "big") if len(data) >= 2 else None
            raise Closed(code, data[2:].decode())
        frame: Frame = json.loads(data)
        check_frame(frame)
        if frame["type"] == "event":
            assert "seq" not in frame or frame["seq"] == next(self._seqs), f"events are missing before {frame}"
            self.events.append(frame)
        else:
            self._responses.setdefault(frame["id"], []).append(frame)
        return frame

    def closed(self, timeout: float = PATIENCE) -> Closed:
        """How the gateway closed the connection; what comes before is heard."""
        deadline = time.monotonic() + timeout
        try:
            while True:
                self.receive(max(deadline - time.monotonic(), 0.01))
        except Closed as closed:
            return closed

    def close(self) -> None:
        self.socket.close()

    def _until(self, condition: Callable[[], Any], timeout: float, what: str) -> None:
        deadline = time.monotonic() + timeout
        while not condition():
            left = deadline - time.monotonic()
            try:
                assert left > 0
                self.receive(left)
            except (AssertionError, TimeoutError):
                raise AssertionError(f"not within {timeout:g} s: {what}; heard {self.events[-5:]}") from None


@contextmanager
def connected(gateway: Gateway, token: str | None = TOKEN, **options: Any) -> Iterator[Client]:
    client = Client(gateway)
    try:
        yield client.connect(token, **options)
    finally:
        client.close()
