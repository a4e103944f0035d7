"""Who is connected."""

from __future__ import annotations

import time
from collections.abc import Iterable
from itertools import islice
from typing import TYPE_CHECKING, Any

import gevent

from app.gateway_ws.times import ms
from app.sessions.ownership import Reach

if TYPE_CHECKING:
    from app.gateway_ws.connection import Connection
    from app.gateway_ws.plane import ControlPlane

# Entries that are told at once, the latest first.
MAX_ENTRIES = 100
# Seconds between two events: everybody is told about everybody, so that many clients are told less often.
EVERY, EVERY_PER_CLIENT = 0.5, 0.005
# Command lines and probes come and go: they are listed while they are there, and nobody is told.
_FLEETING = frozenset({"cli", "probe"})


class Presence:
    """version: counts the changes."""

    def __init__(self, plane: ControlPlane) -> None:
        self.version = 1
        self._plane = plane
        self._telling = False
        # Whose connections came or went since it was told last.
        self._changed: set[str | None] = set()

    def entries(self, reach: Reach) -> list[dict[str, Any]]:
        """``PresenceEntry`` of the published schema for each connection; for whoever has a limited reach, its own."""
        latest = reversed(self._plane.connections)
        return _entries(each for each in latest if each.reach.identity == reach.identity or not reach.is_limited)

    def changed(self, connection: Connection) -> None:
        """``connection`` came or went. Those who may read are told a moment later, of all changes at once."""
        if connection.client.get("mode") in _FLEETING:
            return
        self.version += 1
        self._changed.add(connection.reach.identity)
        if not self._telling:
            self._telling = True
            gevent.spawn_later(EVERY + EVERY_PER_CLIENT * len(self._plane.connections), self._tell)

    def _tell(self) -> None:
        self._telling = False
        changed, self._changed = self._changed, set()
        latest = list(reversed(self._plane.connections))
        of_identity: dict[str | None, list[Connection]] = {}
        for connection in latest:
            of_identity.setdefault(connection.reach.identity, []).append(connection)
        self._tell_of(latest, limited=False)
        for identity in changed:
            self._tell_of(of_identity.get(identity, []), limited=True)

    def _tell_of(self, connections: list[Connection], *, limited: bool) -> None:
        """Tell of these connections those among them that see so many, or that see no others."""
        if hearing := [each for each in connections if each.reads and each.reach.is_limited == limited]:
            self._plane.tell(hearing, "presence", {"presence": _entries(connections)})


def _entries(connections: Iterable[Connection]) -> list[dict[str, Any]]:
    return [_entry(connection) for connection in islice(connections, MAX_ENTRIES)]


def _entry(connection: Connection) -> dict[str, Any]:
    greeting = connection.greeting
    assert greeting is not None
    client, now = greeting.client, ms(time.time())
    entry: dict[str, Any] = {
        "host": client.get("displayName") or client["id"],
        "ip": greeting.caller.address,
        "version": client["version"],
        "platform": client["platform"],
        "deviceFamily": client.get("deviceFamily"),
        "modelIdentifier": client.get("modelIdentifier"),
        "timeZone": client.get("timeZone"),
        "mode": client["mode"],
        "instanceId": client.get("instanceId") or connection.id,
        "deviceId": greeting.device_id,
        "reason": "connect",
        "roles": ["operator"],
        "scopes": list(greeting.scopes),
        "ts": now,
        "onlineSince": ms(connection.opened),
    }
    if greeting.caller.mode == "trusted-proxy" and greeting.caller.identity:
        entry["user"] = {"id": greeting.caller.identity}
    return {name: value for name, value in entry.items() if value not in (None, "")}
