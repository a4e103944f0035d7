"""Runs whose history no longer fits the model's window."""

from __future__ import annotations

import sqlite3
from typing import Any

import pytest

from app.agents.context import size_of
from app.errors import ContextOverflow, ProviderError
from app.providers.stream import Completed, ModelCall, TextDelta, Usage
from tests.agents.scene import (
    USAGE,
    Play,
    Scene,
    Wanted,
    asks,
    assistant,
    result,
    says,
    theirs,
    tool,
    user,
)

WINDOW = 2000
LONG = "word " * 500  # about 700 tokens
OVERFLOW = ContextOverflow("prompt is too long")


def is_summary(call: ModelCall) -> bool:
    return call.messages[-1]["content"].endswith("Write the new summary.")


def summaries(scene: Scene) -> list[ModelCall]:
    return [call for call in scene.model.calls if is_summary(call)]


def answers(scene: Scene) -> list[ModelCall]:
    return [call for call in scene.model.calls if not is_summary(call)]


def summarise_with(scene: Scene, *play: Any) -> None:
    """What the model plays whenever it is asked for a summary."""
    scene.model.decide = lambda call: (play or says("They said much.")) if is_summary(call) else None


def stored_summaries(scene: Scene) -> list[tuple[int, str]]:
    connection = sqlite3.connect(scene.path)
    try:
        rows = connection.execute("SELECT through_turn, body FROM summaries ORDER BY id").fetchall()
        return [(turn, body.decode()) for turn, body in rows]
    finally:
        connection.close()


@pytest.fixture
def long(scene: Scene) -> Scene:
    """A session of three long turns, which the window held until now."""
    summarise_with(scene)
    for number in range(3):
        scene.model.enqueue(says(f"answer {number}"))
        assert scene.answer(f"{number} {LONG}").error is None
    scene.model.calls.clear()
    scene.model.context_window = WINDOW
    return scene


def test_a_history_that_no_longer_fits_becomes_a_summary(long: Scene) -> None:
    """The model reads the summary and the new message, within its window."""
    assert long.answer("go on").error is None
    (call,) = answers(long)
    assert call.messages[0]["content"].endswith("Summary of the earlier conversation:\nThey said much.")
    assert call.messages[-1] == user("go on")
    assert size_of(call.messages) < WINDOW
    assert all(size_of(call.messages) < WINDOW for call in summaries(long))


def test_a_history_that_fits_is_left_alone(scene: Scene) -> None:
    """No summary is written before it is needed."""
    summarise_with(scene)
    scene.model.context_window = 100_000
    for number in range(3):
        scene.answer(f"{number} {LONG}")
    assert summaries(scene) == []
    assert stored_summaries(scene) == []


def test_the_transcript_keeps_every_message(long: Scene) -> None:
    """The summary stands beside the turns; all of them are still on record, and whoever asks for all gets them."""
    long.answer("go on")
    assert len(long.stored()) == 4
    assert len(stored_summaries(long)) == 1
    assert len(long.sessions.history("agent:main:s", whole=True).turns) == 4
    assert all(turn.status == "done" and turn.messages[0]["role"] == "user" for turn in long.stored())


def test_the_next_turn_starts_from_the_summary(long: Scene) -> None:
    """What was summarised once is not read and not summarised again."""
    long.answer("go on")
    long.model.calls.clear()
    assert long.answer("and on").error is None
    (call,) = long.model.calls
    assert "They said much." in call.messages[0]["content"]
    assert call.messages[-3:] == [user("go on"), assistant("Hello world"), user("and on")]
    assert "0 word" not in str(call.messages)


def test_a_reply_that_the_summary_covers_is_known(long: Scene) -> None:
    """A caller who resends everything, from before the summary on, is not taken for another conversation."""
    long.answer("go on")
    long.model.calls.clear()
    resent = [message for turn in long.stored()[:1] for message in turn.messages]
    long.model.enqueue(says("known"))
    assert long.answer(messages=[*resent, user("again")]).error is None
    assert long.stored()[-1].messages == [user("again"), assistant("known")]
    assert "They said much." in long.model.calls[0].messages[0]["content"]


def test_another_conversation_has_no_part_in_the_summary(long: Scene) -> None:
    """A request that goes on from an answer that the session never gave is run without the session's summary."""
    long.answer("go on")
    long.model.calls.clear()
    long.answer(messages=[user("x"), assistant("never said here"), user("y")])
    assert "They said much." not in str(long.model.calls[0].messages)


def test_summaries_are_part_of_the_usage(long: Scene) -> None:
    """What the summaries cost is in the run's usage, and what the answer costs too."""
    end = long.answer("go on")
    calls = len(long.model.calls)
    assert calls > 1
    assert end.usage == Usage(*(tokens * calls for tokens in USAGE[:3]))


def test_summaries_are_no_part_of_the_callers_bound(scene: Scene) -> None:
    """A summary written between two steps takes nothing from the max_tokens of the caller's answer."""
    summarise_with(scene, TextDelta("They said much."), Completed("stop", Usage(100, 100)))
    scene.model.context_window = WINDOW
    scene.tools.tools = [tool("read", lambda *_: LONG)]
    scene.model.enqueue(*(asks(Wanted(f"c{n}", "read")) for n in range(6)), says("ok"))
    end = scene.answer("hi", sampling={"max_tokens": 14})
    assert (end.error, end.finish_reason) == (None, "stop")
    assert [call.sampling["max_tokens"] for call in answers(scene)] == [14, 12, 10, 8, 6, 4, 2]
    assert end.usage.completion == 7 * USAGE.completion + 100 * len(summaries(scene)) > 100


def test_a_run_that_outgrows_the_window_goes_on_from_notes(scene: Scene) -> None:
    """Its own older steps are told in short; the user's message stays, and the record has every step."""
    summarise_with(scene, *says("Read two files."))
    scene.answer("hi")
    scene.model.context_window = WINDOW
    scene.tools.tools = [tool("read", lambda *_: LONG)]
    scene.model.enqueue(*(asks(Wanted(f"c{n}", "read")) for n in range(6)), says("ok"))
    assert scene.answer("compare them").error is None
    last = answers(scene)[-1].messages
    assert last[1] == user("compare them")
    assert "Read two files." in last[2]["content"]
    assert size_of(last) < WINDOW
    assert len(scene.stored()[1].messages) == 1 + 6 * 2 + 1
    # Of the turn before alone: a run's notes are its own.
    assert [turn for turn, _ in stored_summaries(scene)] == [1]


def test_an_overflow_is_tried_once_more(long: Scene) -> None:
    """Where the window is not known, the provider's refusal says that it is time."""
    long.model.context_window = None
    long.model.enqueue((OVERFLOW,), says("ok"))
    assert long.answer("go on").error is None
    first, second = answers(long)
    assert size_of(second.messages) < size_of(first.messages) * 0.7
    assert second.messages[-1] == user("go on")
    assert len(stored_summaries(long)) == 1


def test_a_second_overflow_is_the_callers(long: Scene) -> None:
    """What still doesn't fit is a 400 with the code that says so, and the model is not asked a third time."""
    long.model.context_window = None
    long.model.enqueue((OVERFLOW,), (OVERFLOW,))
    error = long.answer("go on").error
    assert error is OVERFLOW
    assert (error.status, error.code) == (400, "context_length_exceeded")
    assert len(answers(long)) == 2


def test_a_message_that_never_fits_is_the_callers(scene: Scene) -> None:
    """With nothing to shorten the refusal is final at once."""
    summarise_with(scene)
    scene.model.enqueue((OVERFLOW,))
    assert scene.answer("x" * 10_000).error is OVERFLOW
    assert len(scene.model.calls) == 1


def test_a_summary_that_overflows_is_written_in_halves(long: Scene) -> None:
    """A window that is smaller than it is said to be still gets its summary."""

    def decide(call: ModelCall) -> Play | None:
        if not is_summary(call):
            return None
        return (OVERFLOW,) if size_of(call.messages) > 500 else says("Short.")

    long.model.decide = decide
    assert long.answer("go on").error is None
    assert "Short." in answers(long)[0].messages[0]["content"]


def test_a_summary_that_fails_fails_the_run(long: Scene) -> None:
    """Nothing is answered from half a history, and nothing is stored as if it were a summary."""
    summarise_with(long, ProviderError("down"))
    error = long.answer("go on").error
    assert isinstance(error, ProviderError)
    assert answers(long) == []
    assert stored_summaries(long) == []
    assert long.stored()[-1].status == "failed"
    assert long.at_rest()


def test_an_empty_summary_is_none(long: Scene) -> None:
    """A model that writes nothing doesn't make the session forget: the beginnings of what was said stay."""
    summarise_with(long, *says())
    assert long.answer("go on").error is None
    assert "0 word" in answers(long)[0].messages[0]["content"]
    assert all(body for _, body in stored_summaries(long))


def test_a_result_finds_its_call_after_a_compaction(scene: Scene) -> None:
    """A call of the caller's tools that a long history ends with is there for its result, and for a second try."""
    summarise_with(scene)
    call = Wanted("t1", "weather")
    scene.answer(f"0 {LONG}")
    scene.model.enqueue(asks(call, text=LONG))
    scene.answer(f"1 {LONG}", tools=theirs("weather"))
    scene.model.context_window = WINDOW
    scene.model.enqueue((ProviderError("down"),), says("ok"))
    for _ in range(2):
        end = scene.answer(messages=[result("t1", "rain")], tools=theirs("weather"))
        assert answers(scene)[-1].messages[-2:] == [assistant(LONG, call), result("t1", "rain")]
    assert end.error is None
    assert summaries(scene) != []


def test_a_session_that_is_all_summary_is_not_empty(long: Scene) -> None:
    """When the run that wrote the summary fails, the caller who tries again with everything doubles nothing."""
    history = [message for turn in long.stored() for message in turn.messages]
    long.model.enqueue((ProviderError("down"),))
    long.answer(messages=[*history, user("go on")])
    assert long.stored()[-1].status == "failed"
    long.answer(messages=[*history, user("go on")])
    assert long.stored()[-1].messages == [user("go on"), assistant("Hello world")]
