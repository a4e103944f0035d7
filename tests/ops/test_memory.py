"""When a worker looks for memory that it can give back."""

from __future__ import annotations

from app.ops.memory import EVERY, SELDOM, WORTH, WORTH_LATER, Sweeps, resident

LEAST = 100 * WORTH


class Machine:
    """Memory as a test says: ``has`` now, ``after`` each sweep."""

    def __init__(self) -> None:
        self.has = LEAST
        self.after: int | None = None
        self.swept = 0
        self._sweeps = Sweeps(LEAST, self._sweep)

    def _sweep(self) -> None:
        self.swept += 1
        if self.after is not None:
            self.has = self.after

    def look(self, now: float) -> int:
        self._sweeps.look(lambda: self.has, now)
        return self.swept


def test_a_process_that_does_not_grow_is_left_alone() -> None:
    """No sweep while no more is taken than there was."""
    machine = Machine()
    assert [machine.look(second) for second in range(0, 10_000, 100)][-1] == 0


def test_what_grew_is_swept() -> None:
    """A sweep comes at the first look after so much was taken, and none after it gave that back."""
    machine = Machine()
    machine.has, machine.after = LEAST + WORTH, LEAST
    assert machine.look(0) == 1
    assert machine.look(1000) == 1


def test_less_is_swept_when_it_grows_no_more() -> None:
    """What is not worth a sweep in the middle of the work goes back when that is done."""
    machine = Machine()
    machine.has = LEAST + WORTH_LATER
    assert machine.look(0) == 0
    machine.after = LEAST
    assert machine.look(EVERY) == 1
    assert machine.has == LEAST


def test_what_is_still_held_is_looked_for_again() -> None:
    """What could not be given back yet, because a request was at work with it, goes back later without new growth."""
    machine = Machine()
    machine.has = LEAST + 10 * WORTH
    assert machine.look(0) == 1
    machine.after = LEAST
    assert machine.look(EVERY) == 2
    assert machine.has == LEAST


def test_what_is_kept_for_good_costs_little() -> None:
    """A process that needs its memory is swept less and less often."""
    machine = Machine()
    machine.has = LEAST + 10 * WORTH
    swept = [machine.look(second) for second in range(0, 7200, 2)]
    assert swept[3600 // 2] < 15
    assert swept[-1] - swept[3600 // 2] <= 3600 / SELDOM + 1


def test_new_growth_is_swept_at_once() -> None:
    """However seldom it has become."""
    machine = Machine()
    machine.has = LEAST + 10 * WORTH
    before = [machine.look(second) for second in range(0, 7200, 2)][-1]
    machine.has += WORTH
    assert machine.look(7200) == before + 1


def test_this_process_has_memory() -> None:
    """What is resident is told in bytes."""
    found = resident()
    assert found is not None
    assert 10_000_000 < found < 100_000_000_000
