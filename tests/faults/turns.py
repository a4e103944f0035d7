"""Turns as callers ask for them, each in a way of its own, and what became of each."""

from __future__ import annotations

import http.client
import itertools
import json
from contextlib import closing
from dataclasses import dataclass, field
from typing import Any

import websocket

from tests.live.gateway import PATIENCE, TOKEN, Answer, Gateway, chat_body

# How a turn is asked for; whether it is in a session, and whether it may be sent again.
JSON, STREAM, KEYED_JSON, KEYED_STREAM, STATELESS, SEND, AGENT = KINDS = (
    "json",
    "stream",
    "keyed json",
    "keyed stream",
    "keyed stateless",
    "chat.send",
    "agent",
)
REPEATABLE = {KEYED_JSON, KEYED_STREAM, STATELESS, SEND, AGENT}


class Unanswered(Exception):
    """The turn has no whole answer: its gateway is gone, or said that it could not."""


@dataclass
class Asked:
    """One turn. text: what is said, by no other turn. answer: the first whole one."""

    kind: str
    session: str
    text: str
    answer: bytes | None = None
    faults: list[str] = field(default_factory=list)

    @property
    def expected(self) -> str:
        return answer_to(self.text)

    @property
    def repeatable(self) -> bool:
        return self.kind in REPEATABLE

    @property
    def stored(self) -> bool:
        """Whether it leaves a turn."""
        return self.kind != STATELESS

    def ask(self, gateway: Gateway) -> None:
        """Send it, the same each time. Raises Unanswered."""
        try:
            answer = self._over_websocket(gateway) if self.kind in (SEND, AGENT) else self._over_http(gateway)
        except (OSError, http.client.HTTPException, websocket.WebSocketException, KeyError, IndexError) as error:
            raise Unanswered(repr(error)) from None
        if self.answer is None:
            self.answer = answer
        elif self.answer != answer:
            self.faults.append(f"another answer: {self.answer[:300]!r} {answer[:300]!r}")

    def _over_http(self, gateway: Gateway) -> bytes:
        headers = {"Idempotency-Key": self.text} if self.repeatable else {}
        if self.kind != STATELESS:
            headers["x-openclaw-session-key"] = self.session
        stream = self.kind in (STREAM, KEYED_STREAM)
        got = gateway.call(body=chat_body(self.text, stream=stream), headers=headers)
        if got.status != 200:
            raise Unanswered(f"{got.status} {got.body[:300]!r}")
        said = _streamed(got) if stream else got.text
        if said != self.expected:
            self.faults.append(f"half an answer: {said!r}")
        return got.body

    def _over_websocket(self, gateway: Gateway) -> bytes:
        params = {"message": self.text, "sessionKey": self.session, "idempotencyKey": self.text}
        with closing(_Socket(gateway)) as socket:
            if self.kind == AGENT:
                payload = socket.call("agent", params)
                if payload["status"] == "accepted":
                    payload = socket.answer()
                said = payload["result"]["payloads"][0]["text"]
                if said != self.expected:
                    self.faults.append(f"half an answer: {said!r}")
                return said.encode()
            socket.call("chat.send", params)
            payload = socket.call("agent.wait", {"runId": self.text, "timeoutMs": int(PATIENCE * 1000)})
            if payload["status"] != "ok":
                raise Unanswered(f"agent.wait: {payload}")
            return b"ok"


def answer_to(text: str) -> str:
    return f"the answer to {text}"


def _streamed(got: Answer) -> str:
    if not got.events or got.events[-1] != "[DONE]":
        raise Unanswered("a stream without its end")
    chunks = got.chunks
    if "error" in chunks[-1]:
        raise Unanswered(str(chunks[-1]))
    return "".join(chunk["choices"][0]["delta"].get("content") or "" for chunk in chunks)


class _Socket:
    """A client that hears no events."""

    def __init__(self, gateway: Gateway) -> None:
        self._socket = websocket.create_connection(
            f"ws://127.0.0.1:{gateway.port}/", timeout=PATIENCE, suppress_origin=True
        )
        self._ids = map(str, itertools.count())
        self._id = ""
        client = {"id": "test", "version": "1.0", "platform": "linux", "mode": "test"}
        more = {"role": "operator", "scopes": ["operator.write"], "caps": [], "auth": {"token": TOKEN}}
        self.call("connect", {"minProtocol": 4, "maxProtocol": 4, "client": client, **more})

    def call(self, method: str, params: Any) -> Any:
        self._id = next(self._ids)
        self._socket.send(json.dumps({"type": "req", "id": self._id, "method": method, "params": params}))
        return self.answer()

    def answer(self) -> Any:
        """The next payload for the latest request."""
        while True:
            frame = json.loads(self._socket.recv() or "null")
            if frame is None:
                raise Unanswered("the connection is closed")
            if frame.get("id") == self._id:
                if not frame["ok"]:
                    raise Unanswered(str(frame["error"]))
                return frame["payload"]

    def close(self) -> None:
        self._socket.close(timeout=1)
