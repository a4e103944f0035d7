"""Work beside the hub."""

from __future__ import annotations

import sys
import time

import pytest

from app.concurrency.threads import run_in_thread
from tests.concurrency.turns import turns_during


def compute() -> int:
    """Without a wait in which the interpreter would be free."""
    until, turns = time.perf_counter() + 0.1, 0
    while time.perf_counter() < until:
        turns += 1
    return turns


def test_others_go_on_while_a_thread_computes() -> None:
    """What holds the interpreter in a thread gives it to the hub again and again."""
    assert turns_during(lambda: run_in_thread(compute)) >= 5


def test_the_interpreter_switches_as_before_afterwards() -> None:
    """Short switches last as long as the work, whether it succeeds or fails."""
    before = sys.getswitchinterval()
    assert run_in_thread(sys.getswitchinterval) < before
    with pytest.raises(ValueError, match="not this"):
        run_in_thread(lambda: int("not this"))
    assert sys.getswitchinterval() == before


def test_what_it_raises_is_raised_here() -> None:
    """A fault of the work is the caller's, and its result too."""
    assert run_in_thread(lambda: 7) == 7
    with pytest.raises(KeyError):
        run_in_thread(lambda: {}["absent"])
