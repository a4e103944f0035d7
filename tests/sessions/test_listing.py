"""What is known of sessions without reading them, and how they are found."""

from __future__ import annotations

from typing import Any

import pytest

from app.sessions.listing import MAX_PAGE, MOST_READ, PREVIEW, TITLE, LastTurn, SessionInfo
from app.sessions.store import FAILED, SessionStore
from tests.sessions.scene import assistant, turn, user


def info(store: SessionStore, key: str = "k", **options: Any) -> SessionInfo:
    found = store.info(key, **options)
    assert found is not None
    return found


@pytest.fixture
def five(store: SessionStore) -> SessionStore:
    """Sessions a to e, used one after the other; b and d are of another agent."""
    for at, key in enumerate("abcde"):
        store.record(turn(key=key, at=100 + at, agent_id="beta" if key in "bd" else "main"))
    store.patch("c", "main", {"label": "Über 100%"})
    return store


def keys(store: SessionStore, **options: Any) -> list[str]:
    return [session.key for session in store.page(**options).sessions]


def test_sessions_come_page_by_page(five: SessionStore) -> None:
    """The one used last first, with the number of all."""
    assert keys(five) == ["e", "d", "c", "b", "a"]
    assert keys(five, limit=2, offset=1) == ["d", "c"]
    assert keys(five, offset=5) == []
    assert five.page(limit=2, offset=1).total == five.page(offset=9).total == 5


def test_sessions_are_filtered(five: SessionStore) -> None:
    """By agents, by their last use, by their label; the total counts those that match."""
    assert keys(five, agent_ids=["beta"]) == ["d", "b"]
    assert keys(five, agent_ids=[]) == []
    assert keys(five, since=103) == ["e", "d"]
    assert keys(five, label="Über 100%") == ["c"]
    assert keys(five, label="Über") == []
    assert five.page(agent_ids=["beta"], limit=1).total == 2


def test_sessions_are_searched_for(five: SessionStore) -> None:
    """In keys and labels, without regard to case, and by the whole id. Signs of databases are letters here."""
    assert keys(five, search="E") == ["e", "c"]
    assert keys(five, search="100%") == ["c"]
    assert keys(five, search="0_%") == []
    assert keys(five, search=info(five, "a").session_id.upper()) == ["a"]
    assert keys(five, search="") == ["e", "d", "c", "b", "a"]


def test_a_page_is_bounded(store: SessionStore) -> None:
    """However many are asked for."""
    for number in range(MAX_PAGE + 1):
        store.create(str(number), "main")
    page = store.page(limit=10**9)
    assert (len(page.sessions), page.total) == (MAX_PAGE, MAX_PAGE + 1)


def test_the_latest_turn_of_a_session(store: SessionStore) -> None:
    """How it ended, whatever the ones before did."""
    store.record(turn(at=100))
    record = turn(at=200, status=FAILED, error="no model", channel="telegram", model="q/n")
    store.record(record)
    assert info(store).last == LastTurn(record.run_id, FAILED, "no model", "q/n", "telegram", 199, 200)


def test_titles_and_previews(store: SessionStore) -> None:
    """The beginnings of the user's first message and of the last one, only where they are asked for."""
    store.record(turn(assistant("greeting"), user("What is\n\nthis?"), assistant("A test.")))
    store.record(turn(user("And " + "that " * 100), assistant("x" * 500)))
    assert (info(store).title, info(store).preview) == (None, None)
    found = info(store, texts=True)
    assert found.title == "What is this?"
    assert found.preview == "x" * (PREVIEW - 1) + "…"
    assert store.page(texts=True).sessions == [found]


def test_a_long_title_is_cut(store: SessionStore) -> None:
    """Where a session's first message is long."""
    store.record(turn(user("word " * 100)))
    title = info(store, texts=True).title
    assert title is not None
    assert title.endswith("word…")
    assert len(title) <= TITLE


def test_a_huge_message_is_not_read_for_a_title(store: SessionStore) -> None:
    """A question with images gives none; the short answer is shown."""
    store.record(turn(user("x" * MOST_READ), assistant("I see.")))
    found = info(store, texts=True)
    assert (found.title, found.preview) == (None, "I see.")


def test_sessions_are_found_by_id_and_label(five: SessionStore) -> None:
    """Of all agents, or of one."""
    id = info(five, "b").session_id
    assert [found.key for found in five.find(session_id=id)] == ["b"]
    assert list(five.find(session_id=id, agent_id="main")) == []
    assert [found.key for found in five.find(label="Über 100%")] == ["c"]
    assert list(five.find(session_id="nobody's")) == []
