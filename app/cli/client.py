"""A client of the control plane: requests that wait for their answers, and the events that one asked for.

Source of the frames: ``protocol.schema.json`` of the npm package ``@openclaw/gateway-protocol``.
"""

from __future__ import annotations

import itertools
import queue
import sys
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import orjson

from app.cli.failures import NoGateway, NotLetIn, RequestFailed
from app.cli.wire import Closed, Unreachable, Wire
from app.version import VERSION

OLDEST, NEWEST = 3, 4
SCOPES = ("operator.read", "operator.write", "operator.admin")
# Seconds that an answer may take where the request itself doesn't wait for something.
ANSWER_WITHIN = 60.0
# Frames that wait to be looked at; beyond, the gateway has to.
MAX_WAITING = 10_000

Frame = dict[str, Any]


class Event(NamedTuple):
    name: str
    payload: dict[str, Any]


class Client:
    """One connection, let in. For one thread.

    url: ``ws://…``, ``wss://…``. hello: the payload of ``hello-ok``. heed: which events are kept, none at first.
    Raises NoGateway, NotLetIn.
    """

    def __init__(self, url: str, secret: str | None) -> None:
        self.url = url
        self.heed: Callable[[Event], bool] = lambda _: False
        self._ids = itertools.count(1)
        self._frames: queue.Queue[Frame | Closed] = queue.Queue(MAX_WAITING)
        self._answers: dict[str, deque[Frame]] = {}
        self._events: deque[Event] = deque()
        self._given_up = False
        self._end: Closed | None = None
        try:
            self._wire = Wire(url)
        except Unreachable as error:
            raise NoGateway(f"no gateway at {url}: {error}", *_remedies(url)) from None
        self._listener = threading.Thread(target=self._listen, daemon=True)
        self._listener.start()
        try:
            self.hello = self._greet(secret)
        except BaseException:
            self.close()
            raise

    def __enter__(self) -> Client:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def request(self, method: str, params: dict[str, Any] | None = None, within: float = ANSWER_WITHIN) -> Any:
        """The payload of the answer. within: seconds. Raises RequestFailed, NoGateway."""
        id = self.begin(method, params)
        try:
            return self.answer(id, within)
        finally:
            del self._answers[id]

    def begin(self, method: str, params: dict[str, Any] | None = None) -> str:
        """Send a request, and don't wait; its id. Raises NoGateway."""
        id = str(next(self._ids))
        self._answers[id] = deque()
        frame: Frame = {"type": "req", "id": id, "method": method}
        if params is not None:
            frame["params"] = params
        try:
            self._wire.send(orjson.dumps(frame).decode())
        except Closed as closed:
            # Why is what was heard, if anything was.
            self._listener.join(1)
            raise self._lost(self._end or closed) from None
        return id

    def answer(self, id: str, within: float | None = None) -> Any:
        """The next answer to a request, which may have several. Raises RequestFailed, NoGateway."""
        deadline = None if within is None else time.monotonic() + within
        while not self._answers[id]:
            if not self._take(None if deadline is None else deadline - time.monotonic()):
                raise NoGateway(f"{self.url} did not answer within {within:g} s")
        frame = self._answers[id].popleft()
        if frame["ok"]:
            return frame.get("payload")
        error = frame["error"]
        raise RequestFailed(error["code"], error["message"], error.get("details"))

    def events(self, until: str | None = None) -> Iterator[Event]:
        """Events that are heeded, as they come.

        until: the id of a request; ends when its next answer is there. Raises NoGateway.
        """
        while True:
            while self._events:
                yield self._events.popleft()
            if until is not None and self._answers[until]:
                return
            self._take(None)

    def close(self) -> None:
        self._given_up = True
        self._wire.close()

    def _greet(self, secret: str | None) -> dict[str, Any]:
        params: dict[str, Any] = {
            "minProtocol": OLDEST,
            "maxProtocol": NEWEST,
            "client": {"id": "cli", "version": VERSION, "platform": sys.platform, "mode": "cli"},
            "role": "operator",
            "scopes": list(SCOPES),
            "caps": [],
        }
        if secret is not None:
            params["auth"] = {"token": secret}
        try:
            hello: dict[str, Any] = self.request("connect", params)
        except RequestFailed as error:
            raise NotLetIn(_refused(self.url, error)) from None
        return hello

    def _take(self, within: float | None) -> bool:
        """Sort the next frame in; False when none came within so many seconds. Raises NoGateway."""
        try:
            frame = self._frames.get(timeout=None if within is None else max(within, 0))
        except queue.Empty:
            return False
        if isinstance(frame, Closed):
            self._frames.put(frame)
            raise self._lost(frame)
        if frame["type"] == "event":
            self._events.append(Event(frame["event"], frame.get("payload") or {}))
        elif frame["id"] in self._answers:
            self._answers[frame["id"]].append(frame)
        return True

    def _listen(self) -> None:
        """In a thread of its own, so that pings are answered while the user thinks."""
        try:
            while True:
                frame = _parsed(self._wire.receive())
                if frame["type"] == "event" and not self.heed(Event(frame["event"], frame.get("payload") or {})):
                    continue
                self._frames.put(frame)
        except Closed as closed:
            self._end = closed
            if not self._given_up:
                self._frames.put(closed)
        finally:
            self._wire.drop()

    def _lost(self, closed: Closed) -> NoGateway:
        return NoGateway(f"the connection to {self.url} is lost: {closed}")


def _parsed(text: str) -> Frame:
    try:
        frame = orjson.loads(text)
        if frame["type"] == "event":
            well = isinstance(frame["event"], str) and isinstance(frame.get("payload") or {}, dict)
        else:
            well = frame["type"] == "res" and isinstance(frame["id"], str)
            well = well and (frame["ok"] is True or isinstance(frame["error"]["message"] + frame["error"]["code"], str))
    except (orjson.JSONDecodeError, LookupError, TypeError):
        well = False
    if not well:
        raise Closed(None, "it sent what is no frame of the protocol")
    result: Frame = frame
    return result


def _remedies(url: str) -> tuple[str, ...]:
    if url.startswith("wss:"):
        return ("SSL_CERT_FILE may name the file of a private authority's certificate",)
    return "start one with `make run`", "name another with --url"


def _refused(url: str, error: RequestFailed) -> str:
    code = str(error.details.get("code", ""))
    if code in ("AUTH_TOKEN_MISMATCH", "AUTH_PASSWORD_MISMATCH"):
        remedy = "on its machine `python -m app config secret` prints the right one"
        return f"the gateway at {url} refuses this secret; {remedy}"
    if code in ("AUTH_TOKEN_MISSING", "AUTH_PASSWORD_MISSING"):
        return (
            f"the gateway at {url} wants a secret: give it with --token "
            "(the configured one is sent to gateways of this machine only)"
        )
    if code == "PROTOCOL_MISMATCH":
        return (
            f"the gateway at {url} doesn't speak the protocol's versions {OLDEST} to {NEWEST}: "
            f"update it, or this program ({VERSION})"
        )
    return f"the gateway at {url} refuses the connection: {error.message}"
