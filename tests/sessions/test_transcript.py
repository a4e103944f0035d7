"""What was said in a session, page by page, and what came of its runs."""

from __future__ import annotations

from app.providers.stream import Usage
from app.sessions.store import DONE, FAILED, INTERRUPTED, SessionStore
from app.sessions.transcript import Transcript, TurnEnd
from tests.sessions.scene import assistant, turn, user


def page(store: SessionStore, limit: int = 100, offset: int = 0, **options: int) -> Transcript:
    found = store.transcript("k", limit, offset, **options)
    assert found is not None
    return found


def contents(transcript: Transcript) -> list[str]:
    return [entry.message["content"] for entry in transcript.entries]


def test_there_is_no_transcript_of_nobody(store: SessionStore) -> None:
    """None, and no session is made by asking."""
    assert store.transcript("k", 10) is None
    assert store.count() == 0


def test_every_message_has_its_place(store: SessionStore) -> None:
    """Places count from 1, ids stay the same on other pages, and how a turn ended stands on its last message."""
    record = turn(user("1"), assistant("2"), at=100, error="why", status=INTERRUPTED)
    store.record(record)
    store.record(turn(user("3"), assistant("4"), at=200))
    whole = page(store)
    info = store.info("k")
    assert info is not None
    assert (whole.session_id, whole.total, whole.more) == (info.session_id, 4, False)
    assert contents(whole) == ["1", "2", "3", "4"]
    assert [entry.seq for entry in whole.entries] == [1, 2, 3, 4]
    assert [entry.at for entry in whole.entries] == [99, 100, 199, 200]
    assert [entry.run_id == record.run_id for entry in whole.entries] == [True, True, False, False]
    assert [entry.end is None for entry in whole.entries] == [True, False, True, False]
    assert whole.entries[1].end == TurnEnd(INTERRUPTED, "why", "p/m", Usage(3, 2, 1), 99, 100)
    assert page(store, 2, 1).entries == whole.entries[1:3]


def test_pages_go_back_from_the_latest_message(store: SessionStore) -> None:
    """All pages together are the whole, each message once, also where a page ends within a turn."""
    for number in range(5):
        store.record(turn(user(f"{number}?"), assistant(f"{number}..."), assistant(f"{number}!")))
    pages = [page(store, 4, offset) for offset in (0, 4, 8, 12)]
    assert [each.more for each in pages] == [True, True, True, False]
    assert [entry for each in reversed(pages) for entry in each.entries] == page(store).entries
    assert page(store, 4, 15).entries == []


def test_failed_turns_are_shown(store: SessionStore) -> None:
    """What a user said stays to be seen though no answer came, with what went wrong."""
    store.record(turn(user("1"), status=FAILED, error="no model"))
    (entry,) = page(store).entries
    assert entry.end is not None
    assert (entry.message, entry.end.status, entry.end.error) == (user("1"), FAILED, "no model")


def test_a_conversation_that_came_with_a_question_has_its_time(store: SessionStore) -> None:
    """Times never go back within a turn."""
    store.record(turn(user("1"), assistant("2"), user("3"), assistant("4"), at=100))
    assert [entry.at for entry in page(store).entries] == [99, 99, 99, 100]


def test_a_page_is_bounded_in_bytes(store: SessionStore) -> None:
    """Large messages make pages short; one that is larger than all is read alone."""
    for size in (10, 1000, 1000, 5000):
        store.record(turn(user("x" * size)))
    assert [len(content) for content in contents(page(store, most_bytes=2500))] == [5000]
    assert [len(content) for content in contents(page(store, offset=1, most_bytes=2500))] == [10, 1000, 1000]
    assert page(store, most_bytes=2500).more


def test_places_count_anew_after_a_reset(store: SessionStore) -> None:
    """The transcript is of what the session holds now."""
    store.record(turn(user("1"), assistant("2")))
    store.reset("k", "main")
    store.record(turn(user("3")))
    assert [(entry.seq, entry.message["content"]) for entry in page(store).entries] == [(1, "3")]


def test_what_came_of_a_run_is_known_as_long_as_its_session(store: SessionStore) -> None:
    """Its end and the text of its answer, without what its request had brought."""
    call = {"role": "assistant", "content": "I look.", "tool_calls": [{"id": "c", "function": {"name": "ls"}}]}
    result = {"role": "tool", "tool_call_id": "c", "content": "a file"}
    record = turn(user("1"), assistant("2"), user("3"), call, result, assistant("There is a file."), at=100)
    store.record(record)
    outcome = store.turn_of_run(record.run_id)
    assert outcome is not None
    assert (outcome.key, outcome.agent_id, outcome.run_id) == ("k", "main", record.run_id)
    assert outcome.end == TurnEnd(DONE, None, "p/m", Usage(3, 2, 1), 99, 100)
    assert outcome.text == "I look.\n\nThere is a file."
    assert store.turn_of_run("nobody's") is None


def test_a_run_s_id_may_have_256_characters(store: SessionStore) -> None:
    """Those who name runs themselves find them by the whole name."""
    store.record(turn(run_id="r" * 256))
    store.record(turn(run_id="r" * 255 + "s"))
    outcome = store.turn_of_run("r" * 256)
    assert outcome is not None
    assert outcome.run_id == "r" * 256
