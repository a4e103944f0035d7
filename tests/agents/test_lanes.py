"""Lanes: who has the turn, who waits, and that nothing stays behind."""

from __future__ import annotations

import gevent
import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from app.agents.lanes import RETRY_AFTER, Lanes, Place
from app.errors import Overloaded


def has_turn(place: Place) -> bool:
    """Whether ``wait`` returns at once."""
    with gevent.Timeout(0, False):
        place.wait()
        return True
    return False


def test_an_empty_lane_gives_the_turn_at_once() -> None:
    """Whoever comes first doesn't wait."""
    assert has_turn(Lanes().join("k"))


def test_places_are_served_in_the_order_in_which_they_came() -> None:
    """Two hundred waiters of one lane get their turns first come, first served, one at a time."""
    lanes = Lanes()
    served: list[int] = []

    def turn(number: int, place: Place) -> None:
        place.wait()
        served.append(number)
        gevent.sleep(0)
        assert served[-1] == number
        place.leave()

    places = [lanes.join("k") for _ in range(200)]
    # Those who wait begin to do so in another order than that in which they came.
    waiters = [gevent.spawn(turn, number, place) for number, place in reversed(list(enumerate(places)))]
    gevent.joinall(waiters, timeout=10, raise_error=True)
    assert served == list(range(200))
    assert len(lanes) == 0


def test_keys_do_not_wait_for_each_other() -> None:
    """A turn in one lane leaves every other lane free."""
    lanes = Lanes()
    places = [lanes.join(key) for key in ("a", "b", ("agent", "a"))]
    assert all(map(has_turn, places))


def test_a_lane_lets_in_as_many_as_its_capacity() -> None:
    """With capacity 3 the fourth waits until one of the three leaves."""
    lanes = Lanes()
    places = [lanes.join("k", capacity=3) for _ in range(4)]
    assert [has_turn(place) for place in places] == [True, True, True, False]
    places[1].leave()
    assert has_turn(places[3])


def test_a_newcomer_does_not_overtake_those_who_wait() -> None:
    """A capacity that was raised meanwhile doesn't let a newcomer pass the queue."""
    lanes = Lanes()
    first, second = lanes.join("k", capacity=1), lanes.join("k", capacity=1)
    third = lanes.join("k", capacity=2)
    assert not has_turn(third)
    first.leave()
    assert has_turn(second)
    assert has_turn(third)


def test_a_full_queue_says_when_to_come_back() -> None:
    """Beyond the limit of waiters joining is refused with Retry-After, and takes no place."""
    lanes = Lanes()
    active, waiting = (lanes.join("k", queue_limit=1) for _ in range(2))
    with pytest.raises(Overloaded, match="queueLimit") as refused:
        lanes.join("k", queue_limit=1)
    assert refused.value.headers == {"Retry-After": str(RETRY_AFTER)}
    active.leave()
    waiting.leave()
    assert len(lanes) == 0


def test_a_limit_of_none_waiting_still_serves_one() -> None:
    """A queue limit of 0 means that nobody waits, not that nobody is served."""
    lanes = Lanes()
    assert has_turn(lanes.join("k", queue_limit=0))
    with pytest.raises(Overloaded):
        lanes.join("k", queue_limit=0)


def test_leaving_twice_frees_one_place() -> None:
    """The second leave of the same place doesn't let another in."""
    lanes = Lanes()
    first, second, third = (lanes.join("k") for _ in range(3))
    first.leave()
    first.leave()
    assert has_turn(second)
    assert not has_turn(third)


def test_leaving_while_waiting_passes_the_turn_over() -> None:
    """One who leaves the queue is skipped, and those behind keep their order."""
    lanes = Lanes()
    first, second, third = (lanes.join("k") for _ in range(3))
    second.leave()
    assert not has_turn(third)
    first.leave()
    assert has_turn(third)


def test_a_killed_waiter_leaves_as_others_do() -> None:
    """A greenlet that is killed in its wait and leaves in its ``finally`` holds up nobody."""
    lanes = Lanes()
    first, second, third = (lanes.join("k") for _ in range(3))

    def turn() -> None:
        try:
            second.wait()
        finally:
            second.leave()

    waiter = gevent.spawn(turn)
    gevent.sleep(0)
    waiter.kill()
    first.leave()
    assert has_turn(third)


def test_nothing_stays_in_memory() -> None:
    """A lane that all have left is forgotten."""
    lanes = Lanes()
    for key in range(1000):
        places = [lanes.join(key) for _ in range(3)]
        for place in places:
            place.leave()
    assert len(lanes) == 0


class LaneMachine(RuleBasedStateMachine):
    """Any order of joining and leaving against a plain list of who is there."""

    def __init__(self) -> None:
        super().__init__()
        self.lanes = Lanes()
        self.present: list[Place] = []

    @rule()
    def join(self) -> None:
        if len(self.present) >= 2 + 3:
            with pytest.raises(Overloaded):
                self.lanes.join("k", capacity=2, queue_limit=3)
        else:
            self.present.append(self.lanes.join("k", capacity=2, queue_limit=3))

    @precondition(lambda self: self.present)
    @rule(data=st.data())
    def leave(self, data: st.DataObject) -> None:
        self.present.pop(data.draw(st.integers(0, len(self.present) - 1))).leave()

    @invariant()
    def the_first_two_have_their_turn(self) -> None:
        assert [has_turn(place) for place in self.present] == [i < 2 for i in range(len(self.present))]
        assert len(self.lanes) == (1 if self.present else 0)


TestLaneMachine = LaneMachine.TestCase
TestLaneMachine.settings = settings(max_examples=30, stateful_step_count=20, deadline=None)
