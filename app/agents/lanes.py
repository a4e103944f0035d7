"""Lanes: so many at once for each key, the others wait in the order in which they came."""

from __future__ import annotations

from collections import deque
from collections.abc import Hashable

from gevent.event import Event

from app.errors import Overloaded

# Seconds; how soon a place may be free can't be known, so clients are asked to come back soon.
RETRY_AFTER = 5


class Place:
    """A place in a lane. ``leave`` is owed whatever happens; leaving twice does nothing."""

    __slots__ = ("_lane", "_turn_came")

    def __init__(self, lane: _Lane) -> None:
        self._lane: _Lane | None = lane
        self._turn_came: Event | None = None

    def wait(self) -> None:
        """Return when it is this place's turn."""
        if self._turn_came is not None:
            self._turn_came.wait()

    def leave(self) -> None:
        lane, self._lane = self._lane, None
        if lane is not None:
            lane.leave(self)

    # Called by the lane.
    def _queue(self) -> None:
        self._turn_came = Event()

    def _call(self) -> None:
        assert self._turn_came is not None
        self._turn_came.set()


class _Lane:
    __slots__ = ("active", "capacity", "key", "lanes", "waiting")

    def __init__(self, lanes: dict[Hashable, _Lane], key: Hashable) -> None:
        self.lanes = lanes
        self.key = key
        self.active: set[Place] = set()
        self.waiting: deque[Place] = deque()
        self.capacity = 1

    def leave(self, place: Place) -> None:
        if place in self.active:
            self.active.remove(place)
        else:
            self.waiting.remove(place)
        while self.waiting and len(self.active) < self.capacity:
            following = self.waiting.popleft()
            self.active.add(following)
            following._call()
        if not self.active and not self.waiting:
            del self.lanes[self.key]


class Lanes:
    """All lanes of this process. An empty lane takes no memory."""

    def __init__(self) -> None:
        self._lanes: dict[Hashable, _Lane] = {}

    def __len__(self) -> int:
        return len(self._lanes)

    def join(self, key: Hashable, *, capacity: int = 1, queue_limit: int | None = None) -> Place:
        """Take a place behind all that came before. Never waits; ``Place.wait`` does.

        capacity: how many have their turn at once. queue_limit: how many may wait. Raises Overloaded beyond it.
        """
        lane = self._lanes.get(key)
        if lane is None:
            lane = self._lanes[key] = _Lane(self._lanes, key)
        lane.capacity = capacity
        place = Place(lane)
        if len(lane.active) < capacity and not lane.waiting:
            lane.active.add(place)
        elif queue_limit is not None and len(lane.waiting) >= queue_limit:
            raise Overloaded(
                f"{len(lane.waiting)} turns wait for this session already (session.queueLimit)", retry_after=RETRY_AFTER
            )
        else:
            place._queue()
            lane.waiting.append(place)
        return place
