"""All connections of this process, and what they are told."""

from __future__ import annotations

import logging
import time
from collections.abc import Mapping, Sequence
from typing import Any

import gevent

from app.agents.run import Run
from app.agents.runs import shutting_down
from app.auth import Request
from app.auth.proxies import network_of
from app.config import Settings
from app.errors import Overloaded
from app.gateway_ws import frames
from app.gateway_ws.connection import MAX_BUFFERED, TICK_EVERY, Connection
from app.gateway_ws.fan_out import FanOut
from app.gateway_ws.frames import RequestFrame
from app.gateway_ws.handshake import ROLE, greet
from app.gateway_ws.health import Health
from app.gateway_ws.messages import shown
from app.gateway_ws.method import Method
from app.gateway_ws.presence import Presence
from app.gateway_ws.run_feed import RunFeed
from app.gateway_ws.times import ms
from app.gateway_ws.transport import NORMAL, POLICY, RESTART, Socket
from app.http.entry import Entry
from app.services import Services
from app.sessions import keys
from app.sessions.changes import TURN, Change
from app.version import VERSION

log = logging.getLogger("gateway.ws")

# Every event that is sent; the schema of each payload is in the published contract.
EVENTS = (
    "connect.challenge",
    "agent",
    "chat",
    "config.changed",
    "health",
    "presence",
    "session.message",
    "sessions.changed",
    "shutdown",
    "tick",
)

# Seconds within which a client has to say who it is; how many may be about to, from one address and from this machine.
CONNECT_WITHIN = 15.0
MAX_UNKNOWN, MAX_UNKNOWN_EACH, MAX_UNKNOWN_HERE = 2000, 200, 1000
# Messages of one turn that are told as events, the latest, and characters of each.
MAX_MESSAGES = 50
MAX_TOLD = 100_000
# Seconds between two looks at every connection.
LOOK_EVERY = 1.0
# Bytes that may wait for slow readers, together.
MAX_BUFFERED_ALL = 256 * 1024 * 1024


class ControlPlane:
    """The door's own state: who is connected and what they know.

    methods: by name. connections: those that were let in, in the order in which they were.
    """

    def __init__(self, services: Services, entry: Entry, methods: Mapping[str, Method]) -> None:
        self.services = services
        self.methods = methods
        self.connections: dict[Connection, None] = {}
        self.health = Health(services)
        self._events = FanOut()
        self.presence = Presence(self)
        self._entry = entry
        self._unknown: set[Connection] = set()
        self._feeds: dict[str, RunFeed] = {}
        self._looking = False
        self._health_told = 0
        # Set when the gateway is about to end: no runs begin here any more.
        self.ending = False
        self._auth = _auth_of(services.live.current)
        services.runs.watch(self._run_begins)
        services.sessions.watch(self._session_changed)
        services.live.subscribe(self._configured)

    # Connections.

    def admit(self, seen: Request) -> None:
        """Raises Overloaded when too many are about to connect, or the gateway is about to end."""
        if self.ending:
            raise shutting_down()
        if len(self._unknown) >= MAX_UNKNOWN:
            raise Overloaded(f"{MAX_UNKNOWN} clients are connecting already", retry_after=2)
        client = self._entry.authenticator.client(seen)
        # An address that an unknown proxy on this machine gives its clients is no sign that they are here.
        most = MAX_UNKNOWN_HERE if client.local else MAX_UNKNOWN_EACH
        if len(self._unknown) >= most:
            network = network_of(client.address)
            from_there = sum(self._comes_from(each, network, client.local) for each in self._unknown)
            if from_there >= most:
                raise Overloaded(f"{from_there} clients at {network} are connecting already", retry_after=2)

    def _comes_from(self, connection: Connection, network: str, local: bool) -> bool:
        client = self._entry.authenticator.client(connection.seen)
        return client.local == local and network_of(client.address) == network

    def serve(self, socket: Socket, seen: Request) -> None:
        """Serve one connection to its end."""
        connection = Connection(self, socket, seen)
        self._unknown.add(connection)
        self._look_after()
        try:
            connection.serve()
        except Exception:
            log.exception("connection %s failed", connection.id)
        finally:
            self._unknown.discard(connection)
            if connection in self.connections:
                del self.connections[connection]
                self.presence.changed(connection)
            socket.finish()

    def welcome(self, connection: Connection, frame: RequestFrame) -> dict[str, Any]:
        """Let a client in: the payload of ``hello-ok``. Raises Refused."""
        # Asks the database at times. From here to the answer nothing may wait: no event comes before it, and no change
        # of the settings is missed.
        health = self.health.payload()
        settings = self.services.live.current
        greeting = greet(frame, connection.nonce, connection.seen, self._entry, settings.gateway.auth)
        connection.greeting = greeting
        self._unknown.discard(connection)
        if connection.socket.peer is not None:
            connection.socket.peer.admitted()
        if not self.connections:
            # Nobody listened until now.
            for run in self.services.runs:
                self._follow(run)
        self.connections[connection] = None
        connection.begin_liveness(time.monotonic())
        self.presence.changed(connection)
        log.info(
            "connection %s: %s %s from %s, scopes %s",
            connection.id,
            greeting.client["id"],
            greeting.client["version"],
            greeting.caller.address,
            ",".join(greeting.scopes) or "none",
        )
        return self._hello(connection, health)

    def _hello(self, connection: Connection, health: dict[str, Any]) -> dict[str, Any]:
        settings = self.services.live.current
        greeting = connection.greeting
        assert greeting is not None
        snapshot: dict[str, Any] = {
            "presence": [],
            "health": {},
            "stateVersion": self._versions(),
            "uptimeMs": ms(time.time() - self.services.started),
            "sessionDefaults": {
                "defaultAgentId": settings.default_agent,
                "mainKey": keys.MAIN,
                "mainSessionKey": keys.main(settings.default_agent, connection.reach.identity),
            },
            "authMode": settings.gateway.auth.mode,
        }
        if connection.reads:
            snapshot |= {
                "presence": self.presence.entries(connection.reach),
                "health": self.health.within(health, connection.reach),
                "configPath": str(settings.path),
                "stateDir": str(settings.state_dir),
            }
        return {
            "type": "hello-ok",
            "protocol": greeting.protocol,
            "server": {"version": VERSION, "connId": connection.id},
            "features": {"methods": list(self.methods), "events": list(EVENTS)},
            "snapshot": snapshot,
            "auth": {"role": ROLE, "scopes": list(greeting.scopes)},
            "policy": {
                "maxPayload": connection.max_payload,
                "maxBufferedBytes": MAX_BUFFERED,
                "tickIntervalMs": int(TICK_EVERY * 1000),
            },
        }

    # Events.

    def broadcast(self, name: str, payload: Any) -> None:
        """Send an event that says nothing of sessions to all who may read. Never waits."""
        hearing = [each for each in self.connections if each.reads]
        if hearing:
            self._events.tell(hearing, frames.event(name, payload))

    def tell_session(self, key: str, name: str, payload: Any) -> None:
        """Send an event of a session to all who may hear of it. Never waits."""
        owner = keys.owner(key)
        hearing = [each for each in self.connections if each.hears(owner)]
        if hearing:
            self._events.tell(hearing, frames.event(name, payload))

    def tell(self, hearing: Sequence[Connection], name: str, payload: Any) -> None:
        """The same for these, with the versions of what is told."""
        self._events.tell(hearing, frames.event(name, payload, self._versions()))

    @property
    def runs_cost(self) -> float:
        """Seconds of work that it takes to tell one event of each run that is told now."""
        return self._events.cost * max(len(self._feeds), 1)

    def _versions(self) -> dict[str, int]:
        return {"presence": self.presence.version, "health": self.health.version}

    def _configured(self, settings: Settings) -> None:
        self.broadcast("config.changed", {"ts": ms(time.time()), "path": str(settings.path)})
        auth, self._auth = self._auth, _auth_of(settings)
        if auth != self._auth:
            # Who was let in under the old rules has to come in again.
            for connection in self.connections:
                connection.socket.close(POLICY, "gateway auth changed: connect again")

    def _run_begins(self, run: Run) -> None:
        if self.connections:
            self._follow(run)

    def _follow(self, run: Run) -> None:
        # Where nothing was said, as when a history is compacted, nothing is answered.
        if run.id not in self._feeds and run.turn.messages:
            self._feeds[run.id] = RunFeed(self, run, lambda: self._feeds.pop(run.id, None))

    def _session_changed(self, change: Change) -> None:
        if (feed := self._feeds.get(change.run_id or "")) is not None:
            feed.stored(change)
        watching = self._watching(change.key)
        # A request may bring a whole conversation: who needs all of it reads the history.
        for message in shown(change.messages[-MAX_MESSAGES:], MAX_TOLD) if watching else ():
            told = {
                "sessionKey": change.key,
                "agentId": change.agent_id,
                "runId": change.run_id,
                "messageId": message["__openclaw"]["id"],
                "messageSeq": message["__openclaw"]["seq"],
                "message": message,
            }
            self._events.tell(watching, frames.event("session.message", told))
        if change.kind != TURN:  # whose run tells it
            self.sessions_changed(change.key, change.agent_id, change.kind)

    def sessions_changed(self, key: str, agent_id: str, reason: str) -> None:
        """Tell those who subscribed to it, or to all, that a session is another than before."""
        payload = {"sessionKey": key, "agentId": agent_id, "reason": reason, "ts": ms(time.time())}
        if watching := self._watching(key):
            self._events.tell(watching, frames.event("sessions.changed", payload))

    def _watching(self, key: str) -> list[Connection]:
        owner = keys.owner(key)
        return [each for each in self.connections if each.watches(key, owner)]

    # Liveness and the end.

    def _look_after(self) -> None:
        if not self._looking:
            self._looking = True
            gevent.spawn(self._look)

    def _look(self) -> None:
        """Look at every connection again and again, while there are any."""
        try:
            while self._unknown or self.connections:
                gevent.sleep(LOOK_EVERY)
                try:
                    self._look_once()
                except Exception:
                    # Whatever it is, the next look must come: nobody else closes silent connections.
                    log.exception("looking after connections failed")
        finally:
            self._looking = False

    def _look_once(self) -> None:
        now = time.time()
        for connection in list(self._unknown):
            if now - connection.opened > CONNECT_WITHIN:
                connection.socket.close(NORMAL, "no connect came")
        self._keep_alive(list(self.connections))
        self.health.look()
        if self.health.version != self._health_told:
            self._health_told = self.health.version
            payload = self.health.payload()
            hearing = [each for each in self.connections if each.reads]
            for limited in (False, True):
                if some := [each for each in hearing if each.reach.is_limited == limited]:
                    self.tell(some, "health", self.health.within(payload, some[0].reach))

    def _keep_alive(self, connections: list[Connection]) -> None:
        now = time.monotonic()
        for index, connection in enumerate(connections):
            connection.keep_alive(now)
            if index % 100 == 99:
                gevent.sleep(0)
        waiting = sum(connection.socket.outbox.size for connection in connections)
        while waiting > MAX_BUFFERED_ALL:
            slowest = max(connections, key=lambda connection: connection.socket.outbox.size)
            waiting -= slowest.socket.outbox.size
            slowest.socket.give_up()

    def announce_shutdown(self, reason: str, restart_expected_ms: int) -> None:
        """Tell everybody that the gateway is about to end, while its runs still do. None begins here any more."""
        self.ending = True
        payload = {"reason": reason, "restartExpectedMs": restart_expected_ms}
        for connection in self.connections:
            connection.send("shutdown", payload)

    def close(self) -> None:
        """Close every connection, so that its client connects again to what comes next."""
        self._events.flush()
        for connection in [*self.connections, *self._unknown]:
            connection.socket.close(RESTART, "service restart")


def _auth_of(settings: Settings) -> object:
    """What decides who may come in."""
    return settings.gateway.auth, settings.gateway.trusted_proxies
