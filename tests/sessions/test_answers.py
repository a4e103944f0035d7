"""Answers that are kept for requests that come again."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import gevent
import pytest
from sqlalchemy.exc import OperationalError

from app.errors import Conflict
from app.sessions import answers as answers_module
from app.sessions.answers import MAX_AGE, AnswerStore, Claim, KeptAnswer, KeyInUse, KeyReused
from app.sessions.database import open_database
from app.sessions.store import SessionStore
from tests.sessions.scene import turn

ANSWER = KeptAnswer({"Content-Type": "text/event-stream", "x-openclaw-run-id": "r"}, b"data: \x00\xff\n\n")


class Clock:
    """Takes the place of the module's clock."""

    def __init__(self) -> None:
        self.now = 1_000_000.0

    def time(self) -> float:
        return self.now


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    clock = Clock()
    monkeypatch.setattr(answers_module, "time", clock)
    return clock


@pytest.fixture(autouse=True)
def _patience() -> Iterator[None]:
    with gevent.Timeout(30):
        yield


@pytest.fixture
def kept(store: SessionStore) -> AnswerStore:
    return store.answers


def claimed(store: AnswerStore, key: str = "k", request: str = "r") -> Claim:
    claim = store.claim(key, request)
    assert isinstance(claim, Claim)
    return claim


def test_an_answer_is_stored_with_its_turn_or_not_at_all(store: SessionStore) -> None:
    """Where another process has answered the key meanwhile, what was done for it here leaves nothing behind."""
    claim = claimed(store.answers)
    store.record(turn(key="once"), answer=claim.record(ANSWER))
    with pytest.raises(Conflict):
        store.record(turn(key="twice"), answer=claim.record(ANSWER))
    claim.free()
    assert store.answers.claim("k", "r") == ANSWER
    assert (store.info("once") is not None, store.info("twice")) == (True, None)


def count(path: Path) -> int:
    connection = sqlite3.connect(path)
    try:
        (number,) = connection.execute("SELECT count(*) FROM answers").fetchone()
        return int(number)
    finally:
        connection.close()


def test_the_same_request_gets_the_same_answer(kept: AnswerStore) -> None:
    """An answer is given out byte for byte with its headers, as often as it is asked for."""
    claimed(kept).keep(ANSWER)
    assert kept.claim("k", "r") == ANSWER
    assert kept.claim("k", "r") == ANSWER


def test_another_request_with_the_key_is_refused(kept: AnswerStore) -> None:
    """A key stands for one request, answered or under way."""
    claim = claimed(kept)
    with pytest.raises(KeyReused):
        kept.claim("k", "another")
    claim.keep(ANSWER)
    with pytest.raises(KeyReused):
        kept.claim("k", "another")


def test_the_request_under_way_is_not_done_twice(kept: AnswerStore) -> None:
    """Until it is answered, the same request is told so."""
    claim = claimed(kept)
    with pytest.raises(KeyInUse):
        kept.claim("k", "r")
    claim.keep(ANSWER)
    assert kept.claim("k", "r") == ANSWER


def test_keys_are_apart(kept: AnswerStore) -> None:
    """One key's claim and answer are nothing to another key."""
    claimed(kept, "a").keep(ANSWER)
    claimed(kept, "b", "another")
    assert isinstance(kept.claim("c", "r"), Claim)


def test_a_failure_frees_the_key(kept: AnswerStore) -> None:
    """What was not answered may be sent again, even otherwise."""
    claimed(kept).free()
    claimed(kept, request="another").free()
    claimed(kept)


def test_of_many_at_once_one_makes_the_answer(kept: AnswerStore) -> None:
    """Requests that come at the same time with one key are done once."""
    outcomes: list[Any] = []

    def ask() -> None:
        try:
            outcomes.append(kept.claim("k", "r"))
        except KeyInUse as error:
            outcomes.append(error)

    gevent.joinall([gevent.spawn(ask) for _ in range(50)], raise_error=True)
    assert sorted(type(outcome).__name__ for outcome in outcomes) == ["Claim", *["KeyInUse"] * 49]


def test_a_claim_that_is_over_frees_no_other(kept: AnswerStore) -> None:
    """Freeing late, when the key is claimed anew, leaves the new claim alone."""
    first = claimed(kept)
    first.free()
    claimed(kept)
    first.free()
    with pytest.raises(KeyInUse):
        kept.claim("k", "r")


def test_an_answer_that_could_not_be_stored_frees_the_key(kept: AnswerStore, path: Path) -> None:
    """A fault of the database is raised, and the request may be sent again."""
    claim = claimed(kept)
    connection = sqlite3.connect(path)
    connection.execute("DROP TABLE answers")
    connection.commit()
    connection.close()
    with pytest.raises(OperationalError):
        claim.keep(ANSWER)
    assert kept._claims == {}


def test_an_answer_is_kept_for_a_day(kept: AnswerStore, clock: Clock) -> None:
    """It is given out until 24 hours are over; then the key is free, for another request too."""
    claimed(kept).keep(ANSWER)
    clock.now += MAX_AGE - 1
    assert kept.claim("k", "r") == ANSWER
    clock.now += 1
    claimed(kept, request="another").keep(ANSWER)
    assert kept.claim("k", "another") == ANSWER
    assert MAX_AGE == 24 * 60 * 60


def test_old_answers_are_forgotten_with_old_sessions(store: SessionStore, path: Path, clock: Clock) -> None:
    """What is too old to be given out does not stay on disk until somebody sends a key again."""
    claimed(store.answers, "old").keep(ANSWER)
    clock.now += MAX_AGE
    claimed(store.answers, "young").keep(ANSWER)
    clock.now += 1
    assert store.prune(before=0, keep=10) == 0
    assert count(path) == 1
    assert store.answers.claim("young", "r") == ANSWER


def test_the_oldest_give_way(kept: AnswerStore, path: Path, clock: Clock, monkeypatch: pytest.MonkeyPatch) -> None:
    """No more than so many are kept: the oldest go first."""
    assert answers_module.MOST == 10_000
    monkeypatch.setattr(answers_module, "MOST", 3)
    for number in range(5):
        clock.now += 1
        claimed(kept, str(number)).keep(ANSWER)
    assert count(path) == 3
    assert [isinstance(kept.claim(str(number), "r"), KeptAnswer) for number in range(5)] == [False] * 2 + [True] * 3


def test_answers_survive_a_restart(path: Path) -> None:
    """What one process kept, the next one gives out; what it did not finish is free."""
    first = SessionStore(open_database(f"sqlite:///{path}"))
    claimed(first.answers).keep(ANSWER)
    claimed(first.answers, "unfinished")
    first.close()
    second = SessionStore(open_database(f"sqlite:///{path}"))
    assert second.answers.claim("k", "r") == ANSWER
    assert isinstance(second.answers.claim("unfinished", "r"), Claim)
    second.close()
