"""What a model reads of a conversation, and what is left of it when it doesn't fit."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from app.agents.context import BYTES_PER_TOKEN, FRAME, IMAGE, MAX_QUOTED, Context, size_of
from app.sessions.history import NO_RESULT, PastTurn
from tests.agents.scene import Wanted, assistant, result, user

SYSTEM = "You help."


def pairs(*numbers: int, length: int = 1) -> list[PastTurn]:
    """Stored turns with a question and an answer each."""
    return [PastTurn(n, [user(f"question {n} " * length), assistant(f"answer {n} " * length)]) for n in numbers]


class Writer:
    """Stands where the model does that writes the summaries."""

    def __init__(self, *answers: str) -> None:
        self.answers = list(answers)
        self.asked: list[tuple[str, str, int]] = []

    def __call__(self, summary: str, piece: str, most: int) -> str:
        self.asked.append((summary, piece, most))
        return self.answers.pop(0) if self.answers else f"summary {len(self.asked)}"


def test_a_conversation_that_fits_is_as_it_is() -> None:
    """System prompt, history, the new message and the run's steps, in this order."""
    context = Context(SYSTEM, pairs(1), [user("new")])
    context.steps.append(assistant("step"))
    assert context.messages() == [
        {"role": "system", "content": SYSTEM},
        *pairs(1)[0].messages,
        user("new"),
        assistant("step"),
    ]


def test_a_summary_stands_before_what_followed_it() -> None:
    """An earlier turn's summary is part of the system prompt."""
    system, *rest = Context(SYSTEM, pairs(4), [user("new")], summary="They met.").messages()
    assert system["content"] == f"{SYSTEM}\n\nSummary of the earlier conversation:\nThey met."
    assert rest == [*pairs(4)[0].messages, user("new")]


def test_the_oldest_turns_become_a_summary() -> None:
    """The latest turns stay word for word, the others are told by the summary, and the last covered id is known."""
    turns = pairs(1, 2, 3, 4, length=20)
    context = Context(SYSTEM, turns, [user("new")])
    room = int(size_of([message for turn in turns[2:] for message in turn.messages]) / 0.4) + 40
    write = Writer("They met.")
    assert context.compact(room, write) == 2
    system, *rest = context.messages()
    assert "They met." in system["content"]
    assert rest == [*turns[2].messages, *turns[3].messages, user("new")]
    assert all(f"question {n}" in write.asked[0][1] for n in (1, 2))
    assert "question 3" not in write.asked[0][1]


def test_a_summary_goes_on_from_the_one_before() -> None:
    """What was known already is part of what the next summary is written from, in the same run and in a later one."""
    context = Context(SYSTEM, pairs(5), [user("new")], summary="They met.")
    write = Writer("They met and parted.")
    assert context.compact(100, write) == 5
    assert write.asked[0][0] == "They met."
    assert context.summary == "They met and parted."


def test_a_long_history_is_summarised_in_pieces() -> None:
    """No piece is larger than the share of the room that it may take, and each goes on from the summary so far."""
    context = Context(SYSTEM, pairs(*range(1, 40), length=30), [user("new")])
    write = Writer()
    context.compact(1000, write)
    assert len(write.asked) > 3
    assert [asked[0] for asked in write.asked] == ["", *(f"summary {n}" for n in range(1, len(write.asked)))]
    assert all(len(piece) <= 1000 * BYTES_PER_TOKEN * 0.5 + 1 for _, piece, _ in write.asked)
    assert context.summary == f"summary {len(write.asked)}"


def test_a_model_that_writes_nothing_loses_nothing() -> None:
    """An empty summary is replaced by the beginning of what it should have told, on top of what was known."""
    context = Context(SYSTEM, pairs(1), [user("new")], summary="They met.")
    assert context.compact(10, Writer(" \n")) == 1
    assert context.summary.startswith("They met.\nUser: question 1")


def test_a_summary_is_bounded() -> None:
    """However much the model writes, and however long a message is, only so much of it is used."""
    context = Context(SYSTEM, [PastTurn(1, [user("x" * 100_000)])], [user("new")])
    write = Writer("y" * 100_000)
    context.compact(10_000, write)
    assert len(write.asked[0][1]) <= MAX_QUOTED + 1
    assert len(context.summary) <= 10_000 * 0.12 * BYTES_PER_TOKEN * 1.5


def test_a_request_with_a_long_history_of_its_own() -> None:
    """What a request holds before its last user message is shortened as stored turns are, but nothing is stored."""
    request = [message for turn in pairs(1, 2, 3, length=50) for message in turn.messages]
    context = Context(SYSTEM, [], [*request, user("new")])
    assert context.compact(100, Writer("They met.")) == 0
    assert context.messages()[1:] == [user("new")]


def test_another_conversation_keeps_its_latest_turns() -> None:
    """A history that came with the request in one piece is not forgotten in one piece."""
    turns = pairs(1, 2, 3, length=20)
    past = [PastTurn(0, [message for turn in turns for message in turn.messages])]
    context = Context(SYSTEM, past, [user("new")])
    assert context.compact(int(size_of(turns[2].messages) / 0.4) + 40, Writer()) == 0
    assert context.messages()[1:] == [*turns[2].messages, user("new")]


def test_nothing_to_shorten() -> None:
    """A single message that doesn't fit stays, and the caller of compact is told."""
    context = Context(SYSTEM, [], [user("x" * 10_000)])
    assert context.compact(10, lambda *_: pytest.fail("there is nothing to summarise")) is None
    assert context.messages()[1:] == [user("x" * 10_000)]


def steps(*numbers: int) -> list[dict[str, Any]]:
    return [
        message
        for n in numbers
        for message in (assistant(f"step {n}", Wanted(f"c{n}", "look")), result(f"c{n}", f"seen {n}"))
    ]


def test_a_long_run_becomes_notes() -> None:
    """Of a run's own steps the older half become notes behind the user's message, and calls keep their results."""
    context = Context(SYSTEM, [], [user("do it")])
    context.steps += steps(1, 2, 3, 4)
    write = Writer("Looked twice.")
    assert context.compact(10, write) == 0
    assert context.messages()[1:] == [
        user("do it"),
        user("[What you have done so far for this:\nLooked twice.]"),
        *steps(3, 4),
    ]
    assert "calls look" in write.asked[0][1]


def test_notes_never_take_the_users_place() -> None:
    """However often a run is shortened, the user's message stays, and there is one set of notes that goes on."""
    context = Context(SYSTEM, pairs(1), [user("do it")])
    context.steps += steps(1, 2, 3, 4)
    write = Writer("They met.", "Looked twice.", "Looked three times.")
    assert [context.compact(10, write) for _ in range(3)] == [1, 0, 0]
    assert context.messages()[1:] == [
        user("do it"),
        user("[What you have done so far for this:\nLooked three times.]"),
        *steps(4),
    ]
    assert write.asked[2][0] == "Looked twice."
    assert context.compact(10, write) is None


def chain(length: int) -> list[PastTurn]:
    """A question, and turns in which the caller's tools are asked again and again."""
    turns = [PastTurn(1, [user("do it"), assistant("step 1", Wanted("c1", "look"))])]
    for n in range(2, length + 1):
        turns.append(PastTurn(n, [result(f"c{n - 1}"), assistant(f"step {n}", Wanted(f"c{n}", "look"))]))
    return turns


def test_a_call_stays_with_its_result() -> None:
    """When the result is new, the call that it answers and the user's question stay, and are not taken for covered."""
    context = Context(SYSTEM, chain(5), [result("c5", "rain")])
    assert context.compact(10, Writer()) == 4
    assert context.messages()[1:] == [
        user("do it"),
        assistant("step 5", Wanted("c5", "look")),
        result("c5", "rain"),
    ]


def test_a_call_whose_id_was_used_before() -> None:
    """Where a server counts its calls anew in each answer, only the latest is the one that a new result answers."""
    call = Wanted("call_0", "look")
    turns = [
        PastTurn(1, [user("do it"), assistant("step 1", call)]),
        *(PastTurn(n, [result("call_0", f"seen {n}"), assistant(f"step {n}", call)]) for n in range(2, 6)),
    ]
    context = Context(SYSTEM, turns, [result("call_0", "rain")])
    assert context.compact(10, Writer()) == 4
    assert context.messages()[1:] == [user("do it"), assistant("step 5", call), result("call_0", "rain")]
    whole = [PastTurn(n, [user(f"{n}"), assistant(None, call), result("call_0"), assistant("ok")]) for n in (1, 2)]
    context = Context(SYSTEM, whole, [user("new")])
    assert context.compact(int(size_of(whole[1].messages) / 0.4) + 40, Writer()) == 1
    assert context.messages()[1:] == [*whole[1].messages, user("new")]


def test_a_question_with_its_only_call_is_not_shortened() -> None:
    """Nothing is summarised, and no model is asked, where all of it has to stay."""
    context = Context(SYSTEM, chain(1), [result("c1", "rain")])
    before = context.messages()
    assert context.compact(10, lambda *_: pytest.fail("there is nothing to summarise")) is None
    assert context.messages() == before


def test_a_summary_speaks_for_the_user_where_no_message_does() -> None:
    """Some models answer nothing to a conversation without a user: the summary stands there then."""
    turn = PastTurn(5, [result("c4"), assistant("step 5", Wanted("c5", "look"))])
    context = Context(SYSTEM, [turn], [result("c5", "rain")], summary="They want to know.")
    _, first, *rest = context.messages()
    assert first == user("Summary of the earlier conversation:\nThey want to know.")
    assert rest == [assistant("step 5", Wanted("c5", "look")), result("c5", "rain")]


def test_a_size_is_never_too_small() -> None:
    """Text counts by its bytes, tools, calls, frames and images count too."""
    context = Context(SYSTEM, [], [user("x" * 3600)])
    assert 1000 <= context.size() <= 1000 + 2 * FRAME + 10
    assert size_of([user("日本語" * 100)]) >= 250
    assert size_of([{"role": "user", "content": [{"type": "image_url", "image_url": {"url": "data:"}}]}]) >= IMAGE
    assert size_of([assistant(None, Wanted("c", "look", "x" * 360))]) > 100
    with_tools = Context(SYSTEM, [], [user("x" * 3600)], tools=[{"description": "y" * 3600}])
    assert with_tools.size() >= context.size() + 1000
    context.steps.append(assistant("x" * 3600))
    assert context.size() >= 2000


# Any conversation.


@st.composite
def conversations(draw: st.DrawFn) -> tuple[list[PastTurn], list[dict[str, Any]], list[dict[str, Any]]]:
    """Stored turns, a request and a run's steps, with calls that are answered at once, later, or never."""
    number = 0
    open_calls: list[str] = []
    words = st.integers(1, 60).map(lambda count: "word " * count)

    def answer(*, whole: bool) -> list[dict[str, Any]]:
        nonlocal number
        ids = []
        for _ in range(draw(st.integers(0, 3))):
            number += 1
            ids.append(f"c{number}")
        messages = [assistant(draw(words), *(Wanted(id, "f") for id in ids))]
        for id in ids:
            if whole or draw(st.booleans()):
                messages.append(result(id, draw(words)))
            else:
                open_calls.append(id)
        return messages

    def question() -> list[dict[str, Any]]:
        messages = []
        while open_calls and draw(st.booleans()):
            messages.append(result(open_calls.pop(draw(st.integers(0, len(open_calls) - 1))), draw(words)))
        if not messages or draw(st.booleans()):
            messages.insert(draw(st.integers(0, len(messages))), user(f"{draw(words)}{number}"))
        return messages

    past = []
    for id in range(1, draw(st.integers(0, 5)) + 1):
        messages = question()
        for _ in range(draw(st.integers(1, 3))):
            messages += answer(whole=False)
        past.append(PastTurn(id, messages))
    if past and draw(st.booleans()):
        past = [PastTurn(0, [message for turn in past for message in turn.messages])]
    new = question()
    if draw(st.booleans()):
        new += [*answer(whole=False), *question()]
    steps = [message for _ in range(draw(st.integers(0, 4))) for message in answer(whole=True)]
    return past, new, steps


@settings(deadline=None, max_examples=300, suppress_health_check=[HealthCheck.too_slow])
@given(conversations(), st.lists(st.integers(1, 3000), min_size=1, max_size=4), st.booleans())
def test_whatever_is_shortened_stays_a_conversation(conversation: Any, rooms: list[int], summarised: bool) -> None:
    """Each call has its results behind it, each result its call before it, and the user's latest message is there."""
    past, new, steps = conversation
    context = Context(SYSTEM, past, new, summary="They met." if summarised else "")
    context.steps += steps
    given = [message for turn in past for message in turn.messages] + new
    newest = [message for message in given if message["role"] == "user"][-1:]
    results = {message["tool_call_id"]: message for message in [*given, *steps] if message["role"] == "tool"}
    latest = [message for message in new if message["role"] == "tool" and new[-1]["role"] == "tool"][-1:]
    for room in rooms:
        covered = context.compact(room, lambda _summary, piece, _most: f"summary of {len(piece)}")
        assert covered in (None, 0, *(turn.id for turn in past))
        waiting: list[str] = []
        messages = context.messages()
        for message in messages[1:]:
            if message["role"] == "tool":
                assert message["tool_call_id"] == waiting.pop(0)
                assert message == results.get(message["tool_call_id"], result_is_missing(message))
            else:
                assert waiting == []
                waiting = [call["id"] for call in message.get("tool_calls", ())]
        assert waiting == []
        for message in (*newest, *latest):
            assert message in messages


def result_is_missing(message: dict[str, Any]) -> dict[str, Any]:
    return {"role": "tool", "tool_call_id": message["tool_call_id"], "content": NO_RESULT}
