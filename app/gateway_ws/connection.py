"""One connection: its handshake, its requests one after another, its events."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import gevent
from gevent import Greenlet
from marshmallow import ValidationError

from app.auth import READ, WRITE, Caller, Request
from app.errors import Forbidden, GatewayError, InvalidRequest, Overloaded, unexpected
from app.gateway_ws import frames
from app.gateway_ws.frames import NO_ID, NoRequest, RequestFrame
from app.gateway_ws.handshake import Greeting, Refused
from app.gateway_ws.method import Call, Method
from app.gateway_ws.params import load
from app.gateway_ws.transport import POLICY, Closed, Socket
from app.http.fields import first_fault
from app.ids import new_uuid
from app.sessions.ownership import Reach

if TYPE_CHECKING:
    from app.gateway_ws.plane import ControlPlane

log = logging.getLogger("gateway.ws")

MAX_PAYLOAD = 25 * 1024 * 1024
MAX_QUESTION = 1024 * 1024
MAX_BUFFERED = 50 * 1024 * 1024
# Bytes of a message before the client is known.
MAX_FIRST = 64 * 1024
# Seconds between ticks; between pings, and until a silent peer is given up.
TICK_EVERY = 15.0
PING_EVERY = 25.0
# Messages in a row that are no requests.
MAX_BAD = 20
# Requests of one connection that wait for something at the same time.
MAX_WAITING = 64


class Connection:
    """A client, once ``greeting`` is there.

    seen:            the request that opened it. watches_sessions, watched_keys: what it subscribed to.
    """

    __slots__ = (
        "_bad",
        "_pinged",
        "_plane",
        "_seq",
        "_waiting",
        "greeting",
        "id",
        "next_ping",
        "next_tick",
        "nonce",
        "opened",
        "seen",
        "socket",
        "watched_keys",
        "watches_sessions",
    )

    def __init__(self, plane: ControlPlane, socket: Socket, seen: Request) -> None:
        self.id = new_uuid()
        self.nonce = new_uuid()
        self.socket = socket
        self.seen = seen
        self.opened = time.time()
        self.greeting: Greeting | None = None
        self.watches_sessions = False
        self.watched_keys: set[str] = set()
        self.next_ping = self.next_tick = 0.0
        self._plane = plane
        self._seq = 0
        self._bad = 0
        self._pinged = 0.0
        self._waiting: set[Greenlet[..., Any]] = set()

    @property
    def caller(self) -> Caller:
        assert self.greeting is not None
        return self.greeting.caller

    @property
    def scopes(self) -> frozenset[str]:
        return self.greeting.may if self.greeting is not None else frozenset()

    @property
    def reach(self) -> Reach:
        assert self.greeting is not None
        return self.greeting.reach

    @property
    def client(self) -> dict[str, Any]:
        return self.greeting.client if self.greeting is not None else {}

    @property
    def max_payload(self) -> int:
        """Bytes of one message. Only those who may begin something have large ones to send."""
        return MAX_PAYLOAD if WRITE in self.scopes else MAX_QUESTION

    @property
    def reads(self) -> bool:
        """Whether it may hear what happens."""
        return self.greeting is not None and READ in self.greeting.may

    def hears(self, owner: str | None) -> bool:
        """Whether it may hear what happens in a session of this owner, see ``keys.owner``."""
        greeting = self.greeting
        return greeting is not None and READ in greeting.may and greeting.reach.owner in (None, owner)

    def watches(self, key: str, owner: str | None) -> bool:
        """The same where it hears only what it subscribed to."""
        return (self.watches_sessions or key in self.watched_keys) and self.hears(owner)

    def require(self, scope: str) -> None:
        """Raise Forbidden unless the client asked for ``scope`` and may have it."""
        if scope not in self.scopes:
            details = {"code": "MISSING_SCOPE", "missingScope": scope, "requiredScopes": [scope]}
            raise Forbidden(f"missing scope: {scope}", details=details)

    # What it is told. Nothing here waits.

    def send(self, name: str, payload: Any) -> None:
        self.send_rendered(frames.event(name, payload))

    def send_rendered(self, event: bytes) -> None:
        """The same for what ``frames.event`` made, once for many connections."""
        self._seq += 1
        self.socket.send(frames.numbered(event, self._seq))

    def respond(self, id: str, payload: Any) -> None:
        self.socket.send(frames.response(id, payload))

    def fail(self, id: str, error: GatewayError) -> None:
        self.socket.send(frames.failure(id, error))

    def begin_liveness(self, now: float) -> None:
        self.next_ping = now + PING_EVERY
        self.next_tick = now + TICK_EVERY

    def keep_alive(self, now: float) -> None:
        """Called every now and then with ``time.monotonic()``."""
        if now >= self.next_tick:
            self.next_tick = now + TICK_EVERY
            self.send("tick", {"ts": int(time.time() * 1000)})
        if now >= self.next_ping:
            if self.socket.heard < self._pinged:
                log.info("connection %s: nothing was heard for %.0f s", self.id, now - self.socket.heard)
                self.socket.outbox.drop()
                return
            self.next_ping = now + PING_EVERY
            self._pinged = now
            self.socket.ping()

    # What it asks. In the greenlet of the connection.

    def serve(self) -> None:
        """From the challenge to the end. Returns when nothing more will be read."""
        try:
            challenge = {"nonce": self.nonce, "ts": int(self.opened * 1000)}
            self.socket.send(frames.unnumbered(frames.event("connect.challenge", challenge)))
            self._greet(self.socket.receive())
            self.socket.max_message = self.max_payload
            self.socket.outbox.limit = MAX_BUFFERED
            while True:
                self._take(self.socket.receive())
                # A peer that always has a next message waiting would keep all others from their turn.
                gevent.sleep(0)
        except Closed:
            return
        finally:
            gevent.killall(list(self._waiting), block=False)

    def _greet(self, message: bytes | None) -> None:
        id = NO_ID
        try:
            try:
                frame = frames.parse(message)
            except NoRequest as fault:
                id = fault.id
                raise Refused(InvalidRequest("invalid handshake: first request must be connect")) from None
            id = frame.id
            self.respond(id, self._plane.welcome(self, frame))
        except Refused as refused:
            log.info("connection %s from %s refused: %s", self.id, self.seen.peer, refused.error.message)
            self.fail(id, refused.error)
            self.socket.close(refused.code, refused.error.message)
            raise Closed from None

    def _take(self, message: bytes | None) -> None:
        try:
            frame = frames.parse(message)
            if frame.method == "connect":
                raise NoRequest("connect is the first request only", frame.id)
        except NoRequest as fault:
            self.fail(fault.id, InvalidRequest(fault.reason))
            self._bad += 1
            if self._bad >= MAX_BAD:
                self.socket.close(POLICY, f"{MAX_BAD} messages in a row were no requests")
            return
        self._bad = 0
        method = self._plane.methods.get(frame.method)
        if method is None:
            self.fail(frame.id, InvalidRequest(f"unknown method: {frame.method[:100]}"))
        elif not method.waits:
            self._answer(method, frame)
        else:
            try:
                self.wait_for(self._answer, method, frame)
            except Overloaded as error:
                self.fail(frame.id, error)

    def wait_for(self, work: Callable[..., object], *arguments: Any) -> None:
        """Do something that takes long in a greenlet of its own, which ends with the connection. Raises Overloaded."""
        self.check_room()
        worker = gevent.spawn(work, *arguments)
        self._waiting.add(worker)
        worker.rawlink(self._waiting.discard)

    def check_room(self) -> None:
        """Raise Overloaded when ``wait_for`` would."""
        if len(self._waiting) >= MAX_WAITING:
            raise Overloaded(f"{MAX_WAITING} requests of this connection are waiting already", retry_after=1)

    def _answer(self, method: Method, frame: RequestFrame) -> None:
        try:
            self.require(method.scope)
            params = load(method.params, frame.params)
            self.respond(frame.id, method.work(Call(self._plane, self, frame.id, params)))
        except ValidationError as error:
            where, reason = first_fault(error.messages)
            where = "params" if where == "_schema" else where
            self.fail(frame.id, InvalidRequest(f"invalid {method.name} params: {where}: {reason}"[:500], param=where))
        except GatewayError as error:
            self.fail(frame.id, error)
        except Exception as fault:
            reference = new_uuid()
            log.exception("request %s (%s) of connection %s failed", reference, method.name, self.id)
            self.fail(frame.id, unexpected(fault, reference))
