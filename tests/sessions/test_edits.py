"""What is done to sessions besides their turns: made, named, begun anew, cut, deleted."""

from __future__ import annotations

import pytest

from app.errors import Conflict, InvalidRequest
from app.sessions.store import FAILED, History, SessionStore
from tests.sessions.scene import assistant, messages, turn, user


def test_a_session_is_made_without_a_turn(store: SessionStore) -> None:
    """It is there, with what was chosen for it, and holds nothing."""
    info, new = store.create("k", "main", "notes", "p/big")
    assert new
    assert (info.key, info.agent_id, info.label, info.model, info.turns, info.last) == (
        "k",
        "main",
        "notes",
        "p/big",
        0,
        None,
    )
    assert store.history("k") == History("", [], "p/big")
    assert store.info("k") == info


def test_making_a_session_that_is_there_keeps_what_it_has(store: SessionStore) -> None:
    """Only what is given is set."""
    store.record(turn())
    before = store.info("k")
    assert before is not None
    store.create("k", "main", "notes", "p/big")
    info, new = store.create("k", "main", model="p/small")
    assert not new
    assert (info.label, info.model, info.turns, info.session_id) == ("notes", "p/small", 1, before.session_id)


def test_a_label_and_a_model_are_set_and_removed(store: SessionStore) -> None:
    """Each by itself; removing one leaves the other."""
    store.record(turn())
    store.patch("k", "main", {"label": "notes", "model": "p/big"})
    info = store.patch("k", "main", {"label": None})
    assert (info.label, info.model) == (None, "p/big")
    assert store.patch("k", "main", {"model": None}).model is None
    assert store.history("k").model is None


def test_naming_a_session_is_no_use_of_it(store: SessionStore) -> None:
    """A session that was idle begins anew all the same after it was given a label."""
    store.record(turn(at=100))
    assert store.patch("k", "main", {"label": "notes"}).updated_at == 100
    assert messages(store, since=101) == []


def test_a_label_is_one_session_s(store: SessionStore) -> None:
    """Another session of the agent can't have it, the same one and another agent's can."""
    store.create("a", "main", "notes")
    with pytest.raises(InvalidRequest, match="label: the session 'a' has it"):
        store.patch("b", "main", {"label": "notes"})
    assert store.info("b") is None
    store.patch("a", "main", {"label": "notes"})
    store.create("c", "beta", "notes")


def test_the_session_that_a_caller_knows_is_changed_or_none(store: SessionStore) -> None:
    """With the id of a session that began anew since, nothing is changed and nothing deleted."""
    store.record(turn())
    known = store.info("k")
    assert known is not None
    store.patch("k", "main", {"label": "notes"}, session_id=known.session_id)
    store.reset("k", "main")
    with pytest.raises(Conflict, match="expectedSessionId"):
        store.patch("k", "main", {"label": "other"}, session_id=known.session_id)
    with pytest.raises(Conflict, match="expectedSessionId"):
        store.delete("k", session_id=known.session_id)
    info = store.info("k")
    assert info is not None
    assert info.label == "notes"


def test_a_session_that_is_reset_begins_anew(store: SessionStore) -> None:
    """It has a new id, no history and no summary, keeps its label and model, and old turns stay on record."""
    record = turn(user("old"))
    store.record(record)
    store.summarise("k", store.history("k").turns[0].id, "old times")
    before = store.patch("k", "main", {"label": "notes", "model": "p/big"})
    session_id = store.reset("k", "main")
    info = store.info("k")
    assert info is not None
    assert info.session_id == session_id != before.session_id
    assert (info.label, info.model, info.turns, info.prompt_tokens, info.last) == ("notes", "p/big", 0, 0, None)
    assert store.history("k", whole=True) == History("", [], "p/big")
    store.record(turn(user("new"), at=2e9))
    assert messages(store) == [user("new")]
    assert store.turn_of_run(record.run_id) is not None


def test_a_reset_after_a_failed_turn_hides_that_too(store: SessionStore) -> None:
    """The whole transcript is gone, not only what the history had."""
    store.record(turn(user("no"), status=FAILED))
    store.reset("k", "main")
    transcript = store.transcript("k", 10)
    assert transcript is not None
    assert transcript.entries == []


def test_resetting_makes_a_session(store: SessionStore) -> None:
    """One that is not there is there afterwards, and one without turns gets another id."""
    first = store.reset("k", "main")
    assert store.reset("k", "main") != first
    store.record(turn(user("hi")))
    assert messages(store) == [user("hi")]


def test_an_idle_session_gets_a_new_id_when_it_begins_anew(store: SessionStore) -> None:
    """The id says which history a client has seen."""
    store.record(turn(at=100))
    first = store.info("k")
    store.record(turn(at=150), since=100)
    second = store.info("k")
    store.record(turn(at=300), since=200)
    third = store.info("k")
    assert first is not None
    assert second is not None
    assert third is not None
    assert first.session_id == second.session_id != third.session_id
    assert (second.turns, third.turns) == (2, 1)


def test_the_latest_messages_are_kept(store: SessionStore) -> None:
    """The history begins with the turn of the oldest message that is kept, and no summary brings back the others."""
    for number in "123":
        store.record(turn(user(f"{number}?"), assistant(f"{number}!")))
    store.summarise("k", store.history("k").turns[0].id, "one")
    assert store.keep_latest("k", 3)
    assert [message["content"] for message in messages(store)] == ["2?", "2!", "3?", "3!"]
    assert store.history("k").summary == ""
    assert not store.keep_latest("k", 3)
    assert not store.keep_latest("k", 100)
    assert not store.keep_latest("nobody", 1)


def test_a_deleted_session_is_gone(store: SessionStore) -> None:
    """With its turns, and without those of others; a second time there is nothing to delete."""
    record = turn(user("old"))
    store.record(record)
    store.record(turn(user("other"), key="K"))
    assert store.delete("k")
    assert not store.delete("k")
    assert store.info("k") is None
    assert store.turn_of_run(record.run_id) is None
    assert messages(store, "K") == [user("other")]
    store.record(turn(user("new")))
    assert messages(store) == [user("new")]


def test_an_injected_text_is_part_of_the_history(store: SessionStore) -> None:
    """It stands behind what was said, as the agent's, and costs nothing."""
    store.record(turn(user("hi"), assistant("hello")))
    entry = store.inject("k", "main", "by the way")
    assert messages(store) == [user("hi"), assistant("hello"), assistant("by the way")]
    assert (entry.seq, entry.message) == (3, assistant("by the way"))
    info = store.info("k")
    assert info is not None
    assert (info.turns, info.prompt_tokens) == (2, 3)
    assert info.last is not None
    assert info.last.model is None


def test_a_text_may_be_injected_into_a_new_session(store: SessionStore) -> None:
    """The session is made for it."""
    assert store.inject("k", "main", "welcome").seq == 1
    assert messages(store) == [assistant("welcome")]
