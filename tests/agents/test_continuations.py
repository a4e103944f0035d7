"""What stateless callers don't see of a run, and how it comes back into their conversation."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest

from app.agents import continuations as continuations_module
from app.agents.answer import Answer
from app.agents.continuations import MAX_AGE, MOST, Continuations
from app.agents.turn import Turn
from app.providers.stream import Began, Completed, Message, TextDelta, ToolCallDelta
from tests.agents.scene import (
    BETA,
    USAGE,
    Scene,
    Wanted,
    asks,
    assistant,
    ended,
    result,
    says,
    theirs,
    tool,
    turn,
    user,
)

TOOLS = {"key": None, "tools": theirs("weather", "news")}
WEATHER = Wanted("t1", "weather", '{"city": "Bern"}')


def answered(scene: Scene, messages: list[Message], **fields: Any) -> Message:
    """The answer to a stateless request, as its caller appends it to its conversation."""
    run = scene.start(messages=messages, **TOOLS | fields)
    assert ended(run).error is None
    message: Message = {"role": "assistant", "content": run.answer.text or None}
    return message | ({"tool_calls": run.answer.calls} if run.answer.calls else {})


@pytest.fixture
def asked(scene: Scene) -> list[Message]:
    """A conversation whose answer has a hidden step, and a call of the caller's tool with its result."""
    scene.tools.tools = [tool("look", lambda *_: "seen")]
    scene.model.enqueue(asks(Wanted("o1", "look"), text="Hm."), asks(WEATHER, text="I ask."))
    messages = [user("weather?")]
    return [*messages, answered(scene, messages), result("t1", "rain")]


HIDDEN = [
    user("weather?"),
    assistant("Hm.", Wanted("o1", "look")),
    result("o1", "seen"),
    assistant("I ask.", WEATHER),
    result("t1", "rain"),
]


def test_hidden_steps_are_put_back(scene: Scene, asked: list[Message]) -> None:
    """The model goes on from what it saw itself, not from what the caller saw."""
    assert asked[1] == assistant("Hm.\n\nI ask.", WEATHER)
    answered(scene, asked)
    assert scene.model.calls[-1].messages[1:] == HIDDEN


def test_own_results_of_the_same_step_are_put_back(scene: Scene) -> None:
    """A call of the agent's own beside the caller's is hidden, too, and comes back with its result."""
    scene.tools.tools = [tool("look", lambda *_: "seen")]
    calls = Wanted("o1", "look"), WEATHER
    scene.model.enqueue(asks(*calls))
    answer = answered(scene, [user("weather?")])
    answered(scene, [user("weather?"), answer, result("t1", "rain")])
    assert scene.model.calls[-1].messages[1:] == [
        user("weather?"),
        assistant(None, *calls),
        result("o1", "seen"),
        result("t1", "rain"),
    ]


def test_several_in_one_conversation(scene: Scene, asked: list[Message]) -> None:
    """Each answer of a conversation gets its own steps back, also after many requests."""
    news = Wanted("t2", "news")
    scene.model.enqueue(asks(Wanted("o2", "look")), asks(news))
    second = [*asked, answered(scene, asked), result("t2", "good")]
    scene.model.enqueue(says("Fine."))
    third = [*second, answered(scene, second), user("thanks")]
    answered(scene, third)
    assert scene.model.calls[-1].messages[1:] == [
        *HIDDEN,
        assistant(None, Wanted("o2", "look")),
        result("o2", "seen"),
        assistant(None, news),
        result("t2", "good"),
        assistant("Fine."),
        user("thanks"),
    ]


def test_the_state_of_a_provider_is_put_back(scene: Scene) -> None:
    """What a provider wants back with its call is no part of the answer: it is kept for the caller's next request."""
    state = {"api": "a", "model": "m", "blocks": []}
    scene.model.enqueue((Began(), ToolCallDelta(0, "t1", "weather", "{}"), Completed("tool_calls", USAGE, state)))
    answer = answered(scene, [user("weather?")])
    assert "state" not in answer
    answered(scene, [user("weather?"), answer, result("t1", "rain")])
    assert scene.model.calls[-1].messages[2]["state"] == state


STATE = {"api": "x", "model": "p/m", "blocks": [{"type": "call", "signature": "s"}]}


CHANCE = "call_9f8Kd02LmQ"
RAIN = Wanted(CHANCE, "weather", '{"city": "Bern"}')


def signed(*calls: Wanted) -> list[Any]:
    """An answer that calls these tools, and whose provider wants something back."""
    *deltas, last = asks(*calls)
    return [*deltas, last._replace(state=STATE)]


def test_a_client_that_forgot_its_beginning_has_the_state_back(scene: Scene) -> None:
    """The ids of its calls say which answer it was, whatever stands before them now."""
    scene.model.enqueue(signed(RAIN))
    answer = answered(scene, [user("hello"), assistant("Hi."), user("weather?")])
    answered(scene, [user("weather?"), answer, result(CHANCE, "rain")])
    assert scene.model.calls[-1].messages[2]["state"] == STATE


@pytest.mark.parametrize("id", ["call_1", "functions.weather:0", "function-call-1234567890"])
def test_an_id_that_is_counted_says_nothing(scene: Scene, id: str) -> None:
    """Another conversation's answer may have the same, and its reasoning is nobody else's."""
    scene.model.enqueue(signed(Wanted(id, "weather", "{}")))
    answer = answered(scene, [user("secret"), user("weather?")])
    answered(scene, [user("weather?"), answer, result(id, "rain")])
    assert "state" not in scene.model.calls[-1].messages[2]


def test_another_question_has_no_state(scene: Scene) -> None:
    """What the user asked last has to be the same, whatever the ids."""
    scene.model.enqueue(signed(RAIN))
    answer = answered(scene, [user("hello"), user("weather?")])
    answered(scene, [user("and now?"), answer, result(CHANCE, "rain")])
    assert "state" not in scene.model.calls[-1].messages[2]


@pytest.mark.parametrize("fields", [{"agent": BETA}, {"identity": "bob"}])
def test_calls_of_others_have_no_state(scene: Scene, fields: dict[str, Any]) -> None:
    """Another agent's or caller's call of the same id is not his."""
    scene.model.enqueue(signed(RAIN))
    answer = answered(scene, [user("hello"), user("weather?")])
    answered(scene, [user("weather?"), answer, result(CHANCE, "rain")], **fields)
    assert "state" not in scene.model.calls[-1].messages[2]


def test_an_id_that_stands_for_two_calls_says_nothing(scene: Scene) -> None:
    """Servers that count their calls anew in each answer: better no state than another conversation's."""
    for greeting in ("hello", "good morning"):
        scene.model.enqueue(signed(RAIN))
        answer = answered(scene, [user(greeting), user("weather?")])
    answered(scene, [user("weather?"), answer, result(CHANCE, "rain")])
    assert "state" not in scene.model.calls[-1].messages[2]


def test_hidden_steps_come_back_into_their_own_conversation_only(scene: Scene, asked: list[Message]) -> None:
    """The calls' ids alone bring nothing that the agent's own tools saw."""
    changed = [user("something else"), *asked[1:]]
    answered(scene, changed)
    assert scene.model.calls[-1].messages[1:] == changed


@pytest.mark.parametrize(
    "resent",
    [
        assistant("Hm.\n\nI ask.", Wanted("t1", "weather", '{"city":"Bern"}')),
        assistant("Hm.\n\nI ask.\n", WEATHER),
        assistant("", WEATHER) | {"content": [{"type": "text", "text": "Hm.\n\nI ask."}]},
    ],
)
def test_sdks_write_an_answer_anew(scene: Scene, asked: list[Message], resent: Message) -> None:
    """Space, content parts and arguments in another notation are the same answer."""
    answered(scene, [asked[0], resent, asked[2]])
    assert scene.model.calls[-1].messages[1:] == HIDDEN


@pytest.mark.parametrize(
    "fields",
    [
        {"agent": BETA},
        {"identity": "eve"},
        {"messages": [user("weather!"), assistant("Hm.\n\nI ask.", WEATHER), result("t1", "rain")]},
        {"messages": [user("weather?"), assistant("Hm.", WEATHER), result("t1", "rain")]},
        {"messages": [user("weather?"), assistant("Hm.\n\nI ask.", WEATHER._replace(id="t2")), result("t2", "rain")]},
    ],
)
def test_others_get_nothing(scene: Scene, asked: list[Message], fields: dict[str, Any]) -> None:
    """Another agent, caller or conversation is answered as it is, and sees nothing of the hidden steps."""
    answered(scene, **{"messages": asked} | fields)
    assert "seen" not in str(scene.model.calls[-1].messages)


def test_nothing_is_kept_that_the_caller_has(scene: Scene) -> None:
    """An answer of one step without anything hidden needs no memory, nor does one that ends without a call."""
    scene.model.enqueue(asks(WEATHER, text="I ask."))
    answered(scene, [user("weather?")])
    scene.tools.tools = [tool("look")]
    scene.model.enqueue(asks(Wanted("o1", "look")), says("done"))
    answered(scene, [user("weather?")])
    assert len(scene.runs.continuations._kept) == 0


def test_a_session_needs_none(scene: Scene) -> None:
    """Sessions have their hidden steps on disk."""
    scene.tools.tools = [tool("look")]
    scene.model.enqueue(asks(Wanted("o1", "look"), WEATHER))
    scene.answer(tools=theirs("weather"))
    assert len(scene.runs.continuations._kept) == 0


# Bounds.


def keep(continuations: Continuations, number: int, size: int = 10) -> Turn:
    """Keep something of a conversation, and the turn that would ask for it."""
    call = Wanted(f"t{number}", "weather")
    asked = turn(f"question {number}", key=None)
    steps = [assistant(None, Wanted("o", "look")), result("o", "x" * size), assistant(None, call)]
    continuations.keep(asked, Answer(steps=steps, calls=assistant(None, call)["tool_calls"]))
    return turn(key=None, messages=[*asked.messages, assistant(None, call), result(call.id)])


def is_kept(continuations: Continuations, asked: Turn) -> bool:
    return len(continuations.expand(asked)) > len(asked.messages)


def test_the_number_is_bounded() -> None:
    """The oldest give way to new ones."""
    continuations = Continuations()
    asked = [keep(continuations, number) for number in range(MOST + 2)]
    assert [is_kept(continuations, each) for each in asked] == [False, False, *[True] * MOST]


def test_the_bytes_are_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    """The oldest give way until the rest fits, and what is kept again counts once."""
    monkeypatch.setattr(continuations_module, "MOST_BYTES", 10_000)
    continuations = Continuations()
    asked = [keep(continuations, number, 3000) for number in (1, 2, 2, 3, 4)]
    assert [is_kept(continuations, each) for each in asked] == [False, True, True, True, True]
    assert continuations._size == sum(len(kept.steps) for kept in continuations._kept.values()) <= 10_000


def test_one_that_is_too_large_is_not_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    """A single run beyond the bound is not kept, and the run doesn't suffer."""
    monkeypatch.setattr(continuations_module, "MOST_BYTES", 1000)
    continuations = Continuations()
    assert not is_kept(continuations, keep(continuations, 1, 2000))
    assert continuations._size == 0
    assert is_kept(continuations, keep(continuations, 2, 100))


def test_the_age_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    """A caller that comes back too late is answered as it is, and what is old is dropped with the next one kept."""
    clock = SimpleNamespace(now=1000.0)
    monkeypatch.setattr(continuations_module, "time", SimpleNamespace(monotonic=lambda: clock.now))
    continuations = Continuations()
    asked = keep(continuations, 1)
    clock.now += MAX_AGE
    assert is_kept(continuations, asked)
    clock.now += 1
    assert not is_kept(continuations, asked)
    keep(continuations, 2)
    assert len(continuations._kept) == 1


def test_a_text_answer_is_left_alone(scene: Scene, asked: list[Message]) -> None:
    """Only answers with calls are looked for: a conversation of text goes through unchanged."""
    scene.model.enqueue((Began(), TextDelta("x"), Completed("stop", USAGE)))
    conversation = [user("weather?"), assistant("Hm.\n\nI ask."), user("go on")]
    answered(scene, conversation)
    assert scene.model.calls[-1].messages[1:] == conversation
