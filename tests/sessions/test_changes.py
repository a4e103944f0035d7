"""Who watches sessions hears of every change once it is on disk."""

from __future__ import annotations

import logging
import sqlite3
from pathlib import Path

import pytest

from app.sessions.changes import Change
from app.sessions.store import FAILED, SessionStore
from tests.sessions.scene import assistant, turn, user


@pytest.fixture
def heard(store: SessionStore) -> list[Change]:
    heard: list[Change] = []
    store.watch(heard.append)
    return heard


def test_a_turn_is_told_as_the_transcript_has_it(store: SessionStore, heard: list[Change]) -> None:
    """The same messages with the same ids, places, times and ends."""
    store.record(turn(user("1"), assistant("2"), user("3"), assistant("4")))
    record = turn(user("5"), status=FAILED, error="no")
    store.record(record)
    first, second = heard
    assert (second.key, second.agent_id, second.kind, second.run_id) == ("k", "main", "turn", record.run_id)
    transcript = store.transcript("k", 10)
    assert transcript is not None
    assert [*first.messages, *second.messages] == transcript.entries


def test_a_turn_that_begins_a_session_anew_has_the_first_place(store: SessionStore, heard: list[Change]) -> None:
    """As the transcript that it begins."""
    store.record(turn(at=100))
    store.record(turn(user("new"), at=300), since=200)
    assert [entry.seq for entry in heard[-1].messages] == [1]


def test_every_change_is_told_by_its_kind(store: SessionStore, heard: list[Change]) -> None:
    """Each once, in the order in which they were made."""
    store.create("k", "main", "notes")
    store.patch("k", "main", {"label": "other"})
    store.inject("k", "main", "hello")
    store.record(turn())
    store.summarise("k", store.history("k").turns[0].id, "said")
    store.keep_latest("k", 1)
    store.reset("k", "main")
    store.delete("k")
    kinds = ["created", "patched", "injected", "turn", "compacted", "compacted", "reset", "deleted"]
    assert [change.kind for change in heard] == kinds
    assert {(change.key, change.agent_id) for change in heard} == {("k", "main")}
    assert heard[2].messages[0].message == assistant("hello")


def test_what_changes_nothing_is_not_told(store: SessionStore, heard: list[Change]) -> None:
    """Neither what is there already nor what is not there."""
    store.create("k", "main")
    heard.clear()
    store.create("k", "main")
    store.patch("k", "main", {})
    store.keep_latest("k", 1)
    store.summarise("nobody", 1, "said")
    store.delete("nobody")
    assert heard == []


def test_what_is_told_is_on_disk(store: SessionStore, path: Path) -> None:
    """Who hears of a turn can read it, from another process too."""
    seen: list[int] = []

    def look(_: Change) -> None:
        connection = sqlite3.connect(path)
        seen.extend(connection.execute("SELECT count(*) FROM messages").fetchone())
        connection.close()

    store.watch(look)
    store.record(turn())
    assert seen == [2]


def test_a_watcher_that_fails_harms_nobody(
    store: SessionStore, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The turn is stored, the next watcher hears of it, and the log has what went wrong."""
    monkeypatch.setattr(logging.getLogger("gateway"), "propagate", True)
    heard: list[Change] = []

    def fails(_: Change) -> None:
        raise ValueError("no ears")

    store.watch(fails)
    store.watch(heard.append)
    store.record(turn())
    assert [change.kind for change in heard] == ["turn"]
    assert store.count() == 1
    assert "no ears" in caplog.text


def test_a_turn_that_could_not_be_stored_is_not_told(store: SessionStore, heard: list[Change]) -> None:
    """Nobody hears of what did not happen."""
    record = turn()
    store.record(record)
    with pytest.raises(Exception, match="UNIQUE"):
        store.record(record)
    assert len(heard) == 1
