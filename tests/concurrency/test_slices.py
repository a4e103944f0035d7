"""Long work of the hub's own."""

from __future__ import annotations

import time
from dataclasses import replace
from types import SimpleNamespace
from typing import Any, NamedTuple

import orjson
import pytest

from app import text_files
from app.agents.tools.toolbox import Toolbox
from app.concurrency.slices import SLICE, taking_turns
from app.gateway_ws import messages
from app.gateway_ws.usage import Bill
from app.sessions.record import StoredHistory
from app.sessions.transcript import Entry, Page
from app.sessions.usage import Sum, Tally, UsedSession
from tests.agents.scene import MAIN, settings
from tests.concurrency.turns import turns_during

MANY = 100_000


def test_others_have_their_turn_between_slices() -> None:
    """Who waits for a timer goes on after each slice, not after fifty of them."""

    def work() -> None:
        for _ in taking_turns(range(10)):
            until = time.perf_counter() + SLICE
            while time.perf_counter() < until:
                pass

    assert turns_during(work) >= 9


def test_all_items_come_in_their_order() -> None:
    """Nothing is left out, and nothing is asked for before it is needed."""
    assert list(taking_turns(iter(range(5)))) == [0, 1, 2, 3, 4]
    assert list(taking_turns([])) == []


class Row(NamedTuple):
    id: int
    position: int
    body: bytes
    run_id: str = "run"
    started_at: float = 1.0
    ended_at: float = 2.0
    last: int = 1


BODY = orjson.dumps({"role": "user", "content": "a word or two"})


def history() -> None:
    StoredHistory(SimpleNamespace(model=None), None, [Row(number, 0, BODY) for number in range(MANY)]).parsed()


def transcript() -> None:
    Page("id", MANY, 0, [Row(number, 0, BODY) for number in range(MANY)]).parsed()


def page() -> None:
    said: Any = {"role": "user", "content": "a word or two"}
    messages.page([Entry(f"{number}-0", number, "run", said, 1.0) for number in range(MANY)])


def bill() -> None:
    catalogue: Any = SimpleNamespace(model=lambda _: SimpleNamespace(cost={"input": 1.0}))
    Bill(catalogue).of([("scripted/m", Sum(1, 0, 1, 1, 0))] * MANY)


def sums() -> None:
    tally = Tally(0.0, 1.0)
    tally._sessions = {number: UsedSession(f"key-{number}", "main", "id", None, 1.0) for number in range(MANY)}
    tally._of_sessions = {(number, "scripted/m"): [1, 0, 1, 1, 0] for number in range(MANY)}
    tally.sums()


def base64() -> None:
    text_files.check_base64("QUJD" * 20_000_000)


@pytest.mark.parametrize("work", [history, transcript, page, bill, sums, base64], ids=lambda work: str(work.__name__))
def test_what_grows_with_the_data_takes_turns(work: Any) -> None:
    """Whoever reads a long history, or adds up many sessions, holds up nobody."""
    # Making what is worked with takes none.
    assert turns_during(work) >= 3


def test_a_toolbox_of_many_agents() -> None:
    """A reload that makes the rules of thousands of agents lets others go on."""
    known = settings(*(replace(MAIN, id=f"agent-{number}") for number in range(10_000)))
    assert turns_during(lambda: Toolbox(known)) >= 3
