"""The store: what a session holds after turns of every kind, and what pruning forgets."""

from __future__ import annotations

import json
import sqlite3
from dataclasses import replace
from pathlib import Path
from typing import Any

import gevent
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from app.sessions import store as store_module
from app.sessions.database import open_database
from app.sessions.history import PastTurn
from app.sessions.store import FAILED, INTERRUPTED, History, SessionStore
from tests.sessions.scene import assistant, messages, turn, user

TABLES = ("sessions", "turns", "messages", "summaries")


@pytest.fixture
def rows(path: Path, store: SessionStore) -> Any:
    """Rows of a table, read through a connection of its own."""

    def read(query: str) -> list[Any]:
        connection = sqlite3.connect(path)
        try:
            return connection.execute(query).fetchall()
        finally:
            connection.close()

    return read


def test_an_unknown_session_is_empty(store: SessionStore) -> None:
    """Asking for a session creates none."""
    assert store.history("k") == History("", [])
    assert store.info("k") is None
    assert store.count() == 0


def test_history_is_all_turns_in_order(store: SessionStore) -> None:
    """Turns come back oldest first, each with its messages in order, apart by key."""
    store.record(turn(user("1"), assistant("2")))
    store.record(turn(user("other"), key="K"))
    store.record(turn(user("3"), {"role": "tool", "tool_call_id": "c", "content": "4"}, assistant("5")))
    assert [message["content"] for message in messages(store)] == ["1", "2", "3", "4", "5"]
    assert messages(store, "K") == [user("other")]
    assert store.count() == 2
    ids = [turn.id for turn in store.history("k").turns]
    assert [len(turn.messages) for turn in store.history("k").turns] == [2, 3]
    assert ids == sorted(set(ids))


def test_what_is_recorded_is_on_disk(store: SessionStore, rows: Any) -> None:
    """When ``record`` returns, another process can read the turn, with its usage, model, channel and times."""
    store.record(turn(user("hi"), assistant("ho"), error="why", channel="telegram", at=7.5))
    columns = "status, error, model, prompt_tokens, completion_tokens, cached_tokens, channel, started_at, ended_at"
    assert rows(f"SELECT {columns} FROM turns") == [("done", "why", "p/m", 3, 2, 1, "telegram", 6.5, 7.5)]
    assert [(position, json.loads(body)) for position, body in rows("SELECT position, body FROM messages")] == [
        (0, user("hi")),
        (1, assistant("ho")),
    ]


@pytest.mark.parametrize(
    "text",
    ["\x00", "a\x00b", "\U0001f600\u200d\U0001f525", "a\r\nb", "\u2028", "\ufffe", "'; DROP TABLE turns; --", ""],
)
def test_every_text_survives(store: SessionStore, text: str) -> None:
    """NUL, emoji and quotes come back as they were, in messages and in keys' neighbours."""
    store.record(turn(user(text), assistant(text)))
    assert messages(store) == [user(text), assistant(text)]


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    st.text(st.characters(exclude_categories=["Cs"])), st.text(st.characters(exclude_categories=["Cs"]), max_size=400)
)
def test_any_text_and_any_key_survive(store: SessionStore, text: str, key: str) -> None:
    """Whatever JSON can carry is stored under whatever key."""
    store.record(turn(user(text), key=key))
    assert messages(store, key)[-1] == user(text)


def test_failed_turns_are_on_record_but_not_in_the_history(store: SessionStore, rows: Any) -> None:
    """A failed turn is kept for the operator, an interrupted one is read by later turns."""
    store.record(turn(user("1"), status=FAILED, error="no"))
    store.record(turn(user("2"), assistant("half [interrupted]"), status=INTERRUPTED))
    store.record(turn(user("3"), assistant("4")))
    assert [message["content"] for message in messages(store)] == ["2", "half [interrupted]", "3", "4"]
    assert rows("SELECT status FROM turns ORDER BY id") == [("failed",), ("interrupted",), ("done",)]


def test_a_run_is_recorded_once(store: SessionStore) -> None:
    """The same run can't be stored twice, and the second try leaves nothing."""
    record = turn(user("1"))
    store.record(record)
    with pytest.raises(Exception, match="UNIQUE"):
        store.record(record)
    assert messages(store) == [user("1")]


def test_a_session_that_was_idle_begins_anew(store: SessionStore, rows: Any) -> None:
    """What was last used before ``since`` is history no more, though it stays on record."""
    store.record(turn(user("old"), at=100))
    assert messages(store, since=100) == [user("old")]
    assert messages(store, since=101) == []
    store.record(turn(user("new"), at=200), since=101)
    assert messages(store) == [user("new")]
    assert len(rows("SELECT * FROM turns")) == 2


def test_a_session_in_use_goes_on(store: SessionStore) -> None:
    """Each turn counts as use, so that only a pause begins it anew."""
    for at in (100, 150, 200):
        store.record(turn(user(str(at)), at=at), since=at - 60)
    assert [message["content"] for message in messages(store, since=140)] == ["100", "150", "200"]


def test_a_failed_turn_begins_an_idle_session_anew_too(store: SessionStore) -> None:
    """The old history doesn't come back because the first turn after the pause failed."""
    store.record(turn(user("old"), at=100))
    store.record(turn(user("no"), at=200, status=FAILED), since=150)
    assert messages(store, since=150) == []
    store.record(turn(user("new"), at=210), since=150)
    assert messages(store, since=150) == [user("new")]


# Summaries.


def three_turns(store: SessionStore) -> list[int]:
    """Turns that say 1, 2 and 3; their ids."""
    for number in "123":
        store.record(turn(user(number)))
    return [each.id for each in store.history("k").turns]


def test_a_summary_stands_for_the_turns_that_it_covers(store: SessionStore, rows: Any) -> None:
    """The history is the summary and the turns after it; the covered ones stay on record, and are there on request."""
    first, second, third = three_turns(store)
    store.summarise("k", second, "they said 1 and 2 \x00 \U0001f600")
    assert store.history("k") == History("they said 1 and 2 \x00 \U0001f600", [PastTurn(third, [user("3")])])
    assert [each.id for each in store.history("k", whole=True).turns] == [first, second, third]
    assert store.history("k", whole=True).summary == ""
    assert len(rows("SELECT * FROM messages")) == 3


def test_the_latest_summary_counts(store: SessionStore) -> None:
    """Each summary is made on top of the one before, which it replaces."""
    first, _, third = three_turns(store)
    store.summarise("k", first, "earlier")
    store.summarise("k", third, "all")
    assert store.history("k") == History("all", [])
    store.record(turn(user("4")))
    assert messages(store) == [user("4")]


def test_a_summary_is_of_one_session(store: SessionStore) -> None:
    """Another session's history has nothing of it, and a session that is not there gets none."""
    store.record(turn(user("other"), key="K"))
    store.summarise("k", three_turns(store)[-1], "said")
    store.summarise("nobody", 1, "said")
    assert store.history("K").summary == ""
    assert store.history("nobody") == History("", [])


def test_a_session_that_begins_anew_has_no_old_summary(store: SessionStore) -> None:
    """What was summarised before the pause is neither read nor comes back afterwards."""
    store.record(turn(user("old"), at=100))
    store.summarise("k", store.history("k").turns[0].id, "old times")
    assert store.history("k", since=100).summary == "old times"
    assert store.history("k", since=101) == History("", [])
    store.record(turn(user("new"), at=200), since=101)
    assert store.history("k").summary == ""
    assert messages(store) == messages(store, whole=True) == [user("new")]


# What is known of sessions.


def test_what_is_known_of_a_session(store: SessionStore) -> None:
    """Its agent, its times, and turns and tokens of all its turns, failed ones included."""
    store.record(turn(at=100))
    store.record(turn(at=150, status=FAILED))
    info = store.info("k")
    assert info is not None
    assert (info.key, info.agent_id, info.created_at, info.updated_at) == ("k", "main", 99, 150)
    assert (info.turns, info.prompt_tokens, info.completion_tokens, info.cached_tokens) == (2, 6, 4, 2)


def test_the_latest_sessions_of_an_agent(store: SessionStore) -> None:
    """The one used last comes first, no more than asked for, and no other agent's."""
    for at, key in enumerate("abcd"):
        store.record(turn(key=key, at=100 + at))
    store.record(turn(key="a", at=200))
    store.record(replace(turn(key="e", at=300), agent_id="beta"))
    assert [info.key for info in store.latest("main", 3)] == ["a", "d", "c"]
    assert store.latest("main", 1)[0].turns == 2
    assert [info.key for info in store.latest("beta", 9)] == ["e"]
    assert store.latest("nobody", 9) == []


# Pruning.


def test_pruning_by_age(store: SessionStore, rows: Any) -> None:
    """Sessions that were last used before the time are forgotten with their turns and messages."""
    store.record(turn(user("old"), key="old", at=100))
    store.record(turn(user("kept"), key="kept", at=100))
    store.record(turn(user("kept"), key="kept", at=200))
    for key in ("old", "kept"):
        store.summarise(key, 1, "said")
    assert store.prune(before=150, keep=10) == 1
    assert messages(store, "old") == []
    assert messages(store, "kept") == [user("kept"), user("kept")]
    assert [len(rows(f"SELECT * FROM {table}")) for table in TABLES] == [1, 2, 2, 1]


def test_pruning_by_count(store: SessionStore) -> None:
    """Of those that are young enough the latest used are kept."""
    for number in range(5):
        store.record(turn(user(str(number)), key=str(number), at=100 + number))
    store.record(turn(user("again"), key="0", at=200))
    assert store.prune(before=0, keep=2) == 3
    assert store.count() == 2
    assert messages(store, "0")
    assert messages(store, "4")


def test_pruning_goes_in_batches(store: SessionStore, monkeypatch: pytest.MonkeyPatch) -> None:
    """Many sessions are forgotten in several transactions, all of them in the end."""
    monkeypatch.setattr(store_module, "PRUNE_BATCH", 3)
    for number in range(10):
        store.record(turn(key=str(number), at=number))
    assert store.prune(before=8, keep=100) == 8
    assert store.prune(before=8, keep=100) == 0
    assert store.count() == 2


def test_a_pruned_key_begins_anew(store: SessionStore) -> None:
    """A session that is used after it was forgotten has only what came since."""
    store.record(turn(user("old"), at=100))
    store.prune(before=200, keep=10)
    store.record(turn(user("new"), at=300))
    assert messages(store) == [user("new")]


def test_many_turns_at_once(store: SessionStore) -> None:
    """Greenlets that store at the same time each get their own turn stored."""
    writers = [gevent.spawn(store.record, turn(user(str(number)), key=str(number % 7))) for number in range(200)]
    gevent.joinall(writers, raise_error=True)
    assert store.count() == 7
    assert sum(len(messages(store, str(number))) for number in range(7)) == 200


def test_a_store_that_is_opened_again_has_everything(path: Path) -> None:
    """What one process stored, the next one reads."""
    first = SessionStore(open_database(f"sqlite:///{path}"))
    first.record(turn(user("hi"), assistant("ho")))
    first.close()
    second = SessionStore(open_database(f"sqlite:///{path}"))
    assert messages(second) == [user("hi"), assistant("ho")]
    second.close()


def test_two_processes_share_a_database(path: Path, store: SessionStore) -> None:
    """A command line that writes beside the gateway is seen by it, and the other way round."""
    other = SessionStore(open_database(f"sqlite:///{path}"))
    store.record(turn(user("1")))
    other.record(turn(user("2")))
    assert messages(store) == messages(other) == [user("1"), user("2")]
    other.close()
