"""The loop: what the model hears, what the caller sees, what is on record, and what ends it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from types import SimpleNamespace
from typing import Any

import gevent
import pytest
from gevent.event import Event as Gate

from app.agents.calls import INTERRUPTED, MAX_ARGUMENTS, MAX_CALLS
from app.agents.events import Began, Ended, RefusalDelta, TextDelta, ToolCallDelta, ToolEnded, ToolStarted
from app.agents.loop import MAX_RESULT
from app.agents.run import INTERRUPTED_MARK
from app.agents.tools.tool import ToolFailed
from app.config.settings import Provider
from app.errors import (
    InternalError,
    InvalidRequest,
    ProviderError,
    RunCancelled,
    RunTimeout,
    ToolChoiceUnmet,
)
from app.providers.catalogue import Catalogue
from app.providers.stream import Completed, Usage
from app.sessions.history import NO_RESULT
from tests.agents.scene import (
    MAIN,
    USAGE,
    Scene,
    Wanted,
    asks,
    assistant,
    ended,
    events,
    result,
    says,
    settings,
    theirs,
    tool,
    until,
    user,
)
from tests.scripted import Reply, ScriptedProvider

GONE = RunCancelled("the client closed its connection")
WEATHER = {"type": "function", "function": {"name": "weather"}}


def text_of_events(seen: list[Any]) -> str:
    return "".join(event.text for event in seen if isinstance(event, TextDelta))


def calls_of_events(seen: list[Any]) -> list[ToolCallDelta]:
    return [event for event in seen if isinstance(event, ToolCallDelta)]


# The agent's own tools.


def test_results_go_back_to_the_model_until_it_answers(scene: Scene) -> None:
    """The model reads its own calls with their results, and what happened comes out in order."""
    scene.tools.tools = [tool("add", lambda _run, given: str(given["a"] + given["b"]))]
    call = Wanted("c1", "add", '{"a":1,"b":2}')
    scene.model.enqueue(asks(call, text="Let me see."), says("It is 3."))
    seen = events(scene.start("1+2?"))
    assert seen == [
        Began(),
        TextDelta("Let me see."),
        ToolStarted("c1", "add", {"a": 1, "b": 2}),
        ToolEnded("c1", "add", False, "3"),
        TextDelta("\n\n"),
        TextDelta("It is 3."),
        Ended("stop", USAGE.plus(USAGE)),
    ]
    assert scene.model.calls[1].messages[1:] == [user("1+2?"), assistant("Let me see.", call), result("c1", "3")]


def test_the_next_turn_reads_what_the_model_saw(scene: Scene) -> None:
    """A turn is stored with its calls and results, and the session's next turn begins with just these messages."""
    scene.tools.tools = [tool("look")]
    scene.model.enqueue(asks(Wanted("c1", "look")), asks(Wanted("c2", "look")), says("a"))
    run = scene.start("one")
    assert ended(run).error is None
    scene.answer("two")
    (first, _) = scene.stored()
    assert (first.status, first.messages[-1]) == ("done", assistant("a"))
    assert scene.model.calls[3].messages[1:] == [*first.messages, user("two")]
    assert scene.model.calls[2].messages[1:] == first.messages[:-1]


def test_a_caller_who_resends_the_shown_answer_doubles_nothing(scene: Scene) -> None:
    """The text that a caller saw of all steps is known as the session's own answer when it comes back."""
    scene.tools.tools = [tool("look")]
    scene.model.enqueue(asks(Wanted("c1", "look"), text="Wait."), asks(Wanted("c2", "look")), says("Here."))
    run = scene.start("one")
    ended(run)
    assert run.answer.text == "Wait.\n\nHere."
    scene.answer(messages=[user("one"), assistant(run.answer.text), user("two")])
    assert scene.stored()[1].messages[0] == user("two")
    assert scene.model.calls[3].messages[1:] == [*scene.stored()[0].messages, user("two")]


def test_tools_that_may_work_side_by_side(scene: Scene) -> None:
    """Concurrent tools of one step are at work together, and their results stand in the order of the calls."""
    gates = {"first": Gate(), "second": Gate()}

    def work(_run: object, given: dict[str, str]) -> str:
        mine, other = given["mine"], given["other"]
        gates[mine].set()
        gates[other].wait()
        if mine == "first":
            gevent.sleep(0)  # the second one ends before
        return mine

    scene.tools.tools = [tool("meet", work, concurrent=True)]
    scene.model.enqueue(
        asks(
            Wanted("c1", "meet", '{"mine":"first","other":"second"}'),
            Wanted("c2", "meet", '{"mine":"second","other":"first"}'),
        ),
        says("ok"),
    )
    assert scene.answer().error is None
    assert scene.model.calls[1].messages[3:] == [result("c1", "first"), result("c2", "second")]


def test_tools_that_must_not_meet_go_in_order(scene: Scene) -> None:
    """Others begin when the one before has ended, in the order in which the model asked."""
    steps: list[str] = []

    def work(_run: object, given: dict[str, str]) -> str:
        steps.append(f"{given['n']} begins")
        gevent.sleep(0)
        gevent.sleep(0)
        steps.append(f"{given['n']} ends")
        return "ok"

    scene.tools.tools = [tool("step", work)]
    scene.model.enqueue(asks(*(Wanted(f"c{n}", "step", f'{{"n":"{n}"}}') for n in range(3))), says("ok"))
    assert scene.answer().error is None
    assert steps == [f"{n} {what}" for n in range(3) for what in ("begins", "ends")]


@pytest.mark.parametrize(
    ("fault", "told"),
    [
        (ToolFailed("there is no such file"), "error: there is no such file"),
        (ValueError("/secret/path"), "error: the tool failed for an internal reason"),
        (gevent.Timeout(5), "error: the tool failed for an internal reason"),
    ],
)
def test_a_tool_that_fails_is_the_models_to_know(scene: Scene, fault: BaseException, told: str) -> None:
    """The model reads an error as the call's result and goes on; a fault of the code tells it nothing of the inside."""

    def work(_run: object, _arguments: object) -> str:
        raise fault

    scene.tools.tools = [tool("read", work)]
    scene.model.enqueue(asks(Wanted("c1", "read")), says("sorry"))
    seen = events(scene.start())
    assert seen[-1].error is None
    assert ToolEnded("c1", "read", True, told) in seen
    assert scene.model.calls[1].messages[-1] == result("c1", told)


def test_a_long_result_is_cut(scene: Scene) -> None:
    """No result is longer than the bound, and the model is told how much is missing."""
    scene.tools.tools = [tool("read", lambda *_: "x" * (MAX_RESULT + 1000))]
    scene.model.enqueue(asks(Wanted("c1", "read")), says("ok"))
    scene.answer()
    content = scene.model.calls[1].messages[-1]["content"]
    assert len(content) < MAX_RESULT + 100
    assert "1000 characters left out" in content


def test_the_results_of_one_step_fit_a_small_window(scene: Scene) -> None:
    """However many results one step brings, they leave the model room to read them and to answer."""
    scene.model.context_window = 4000
    scene.tools.tools = [tool("read", lambda *_: "x" * 100_000, concurrent=True)]
    scene.model.enqueue(asks(*(Wanted(f"c{n}", "read") for n in range(10))), says("ok"))
    scene.answer()
    results = [message["content"] for message in scene.model.calls[1].messages if message["role"] == "tool"]
    assert len(results) == 10
    assert sum(map(len, results)) < 4000 * 3.6 * 0.6


def test_a_result_that_is_no_unicode_is_stored(scene: Scene) -> None:
    """Half a surrogate pair in a tool's result costs that character, not the turn."""
    scene.tools.tools = [tool("read", lambda *_: "a\ud800b")]
    scene.model.enqueue(asks(Wanted("c1", "read")), says("ok"))
    assert scene.answer().error is None
    assert scene.stored()[0].messages[2]["content"] == "a?b"


# Limits.


def test_the_limit_of_turns_ends_the_run(scene: Scene) -> None:
    """After ``maxTurns`` calls of the model the run is complete, as long as it got, with finish_reason length."""
    scene.tools.tools = [tool("again")]
    scene.model.default = asks(Wanted("same", "again"), text="on")
    end = scene.answer(agent=replace(MAIN, max_turns=3))
    assert (end.finish_reason, end.error, end.usage) == ("length", None, Usage(9, 6, 3))
    assert len(scene.model.calls) == 3
    (stored,) = scene.stored()
    assert stored.status == "done"
    assert [message["role"] for message in stored.messages] == ["user", *["assistant", "tool"] * 3]


def test_the_callers_max_tokens_are_for_the_whole_run(scene: Scene) -> None:
    """Each step gets what the earlier ones left, and when nothing is left the run ends with length."""
    scene.tools.tools = [tool("again")]
    scene.model.default = asks(Wanted("c", "again"))
    end = scene.answer(sampling={"max_tokens": 5, "seed": 1})
    assert [call.sampling for call in scene.model.calls] == [{"max_tokens": most, "seed": 1} for most in (5, 3, 1)]
    assert (end.finish_reason, end.usage.completion) == ("length", 6)


def test_an_answer_that_was_cut_short_does_none_of_its_calls(scene: Scene) -> None:
    """A call of an answer with finish_reason length may be half a call: it is neither done nor on record."""
    done: list[object] = []
    scene.tools.tools = [tool("write", lambda _run, given: str(done.append(given)))]
    scene.model.enqueue(asks(Wanted("c1", "write", '{"path":"a'), text="I will", finish="length"))
    end = scene.answer()
    assert (end.finish_reason, end.error, done) == ("length", None, [])
    assert scene.stored()[0].messages == [user("hi"), assistant("I will")]


@pytest.mark.parametrize("finish", ["length", "content_filter"])
def test_a_callers_call_that_was_cut_short(scene: Scene, finish: str) -> None:
    """Neither it nor a whole one before it is shown; the text stays, and where the call was demanded it is an error."""
    cut = asks(Wanted("t0", "weather"), Wanted("t1", "weather", '{"city":'), text="I ask.", finish=finish)
    scene.model.enqueue(cut, cut)
    run = scene.start(tools=theirs("weather"))
    seen = events(run)
    assert seen == [Began(), TextDelta("I ask."), Ended(finish, USAGE)]
    assert (run.answer.text, run.answer.calls) == ("I ask.", [])
    assert scene.stored()[0].messages[1:] == [assistant("I ask.")]
    assert isinstance(scene.answer(tools=theirs("weather"), tool_choice="required", key=None).error, ToolChoiceUnmet)


def test_an_answer_that_says_nothing(scene: Scene) -> None:
    """It is on record as what it was, so that a caller who sends it back with the rest doubles nothing."""
    scene.model.enqueue(says())
    run = scene.start("one")
    assert (ended(run).finish_reason, run.answer.text) == ("stop", "")
    scene.answer(messages=[user("one"), assistant(""), user("two")])
    assert [turn.messages for turn in scene.stored()] == [
        [user("one"), assistant("")],
        [user("two"), assistant("Hello world")],
    ]


@pytest.mark.parametrize("said", [(TextDelta("well"),), ()])
@pytest.mark.parametrize("finish", ["tool_calls", "stop"])
def test_a_finish_with_calls_that_never_came_is_an_answer(scene: Scene, said: Any, finish: str) -> None:
    """A model that announces tool calls and makes none has answered, and is not asked again."""
    scene.tools.tools = [tool("look")]
    scene.model.enqueue((Began(), *said, Completed(finish, USAGE)))
    assert scene.answer(tools=theirs("weather")).finish_reason == "stop"
    assert len(scene.model.calls) == 1


def test_a_model_stays_in_good_standing(scene: Scene, provider: ScriptedProvider) -> None:
    """A model that answers again after a failure is no longer put aside, so each answer is read to its end."""
    catalogue = Catalogue(settings(providers=(Provider("fake", provider.base_url),)), SimpleNamespace())  # type: ignore[arg-type]
    scene.runs._catalogue = lambda: catalogue
    catalogue.standing.failed("fake/m", ProviderError("busy"))
    provider.enqueue(Reply("Hello"))
    assert scene.answer().error is None
    assert catalogue.standing.set_aside() == {}


def test_what_may_have_changed_something_is_known(scene: Scene) -> None:
    """A run is marked from when a tool that may change something begins, not for one that was refused."""
    nothing = {"type": "object", "properties": {}, "additionalProperties": False}
    scene.tools.tools = [tool("read", changes=False), tool("write", parameters=nothing)]
    for call, changed in (
        (Wanted("c", "read"), False),
        (Wanted("c", "write", '{"bad":1}'), False),
        (Wanted("c", "write"), True),
    ):
        scene.model.enqueue(asks(call), says("ok"))
        run = scene.start(key=None)
        assert ended(run).error is None
        assert run.answer.changed is changed


# Models that do it wrong.


def test_faulty_calls_are_told_to_the_model(scene: Scene) -> None:
    """An unknown tool, broken JSON, no object, a broken schema: each is an error result, and no tool begins."""
    done: list[object] = []
    schema = {"type": "object", "properties": {"n": {"type": "integer"}}, "required": ["n"]}
    scene.tools.tools = [tool("count", lambda _run, given: str(done.append(given)), parameters=schema)]
    wrong = [
        Wanted("c1", "nothing"),
        Wanted("c2", "count", '{"n": 1'),
        Wanted("c3", "count", "[1]"),
        Wanted("c4", "count", '{"n": "one"}'),
        Wanted("c5", "count", ""),
    ]
    scene.model.enqueue(asks(*wrong), says("sorry"))
    assert scene.answer().error is None
    _, _, said, *results = scene.model.calls[1].messages
    assert [message["tool_call_id"] for message in results] == ["c1", "c2", "c3", "c4", "c5"]
    for message, hint in zip(results, ("your own tools are: count", "JSON", "JSON object", "n: ", "'n'"), strict=True):
        assert message["content"].startswith("error: ")
        assert hint in message["content"]
    assert done == []
    # What model APIs refuse to read again is not said again.
    assert [call["function"]["arguments"] for call in said["tool_calls"]] == ["{}", "{}", "{}", '{"n": "one"}', "{}"]


def test_too_many_calls_are_bounded(scene: Scene) -> None:
    """Of a thousand calls in one step so many are done, and the model is told of the rest."""
    done: list[object] = []
    scene.tools.tools = [tool("ping", lambda _run, given: str(done.append(given)), concurrent=True)]
    scene.model.enqueue(asks(*(Wanted(f"c{n}", "ping") for n in range(1000))), says("ok"))
    assert scene.answer().error is None
    assert len(done) == MAX_CALLS
    messages = scene.model.calls[1].messages
    assert len(messages[2]["tool_calls"]) == len(messages) - 3 == MAX_CALLS
    assert f"[{1000 - MAX_CALLS} more calls were not done" in messages[-1]["content"]


def test_endless_arguments_are_bounded(scene: Scene) -> None:
    """Ten megabytes of arguments are not kept: the tool doesn't begin, the model is told, the record is small."""
    scene.tools.tools = [tool("write", lambda *_: pytest.fail("it must not begin"))]
    piece = "x" * 1_000_000
    endless = (ToolCallDelta(0, "c1", "write", '{"a":"'), *[ToolCallDelta(0, arguments=piece)] * 10)
    scene.model.enqueue((*endless, Completed("tool_calls", USAGE)), says("ok"))
    assert scene.answer().error is None
    messages = scene.model.calls[1].messages
    assert "longer than" in messages[-1]["content"]
    assert len(str(messages)) < 2000


def test_endless_arguments_for_the_caller_are_an_error(scene: Scene) -> None:
    """Nobody can carry such a call out: the run ends with the provider's fault."""
    piece = "x" * (MAX_ARGUMENTS // 2)
    scene.model.enqueue((ToolCallDelta(0, "c1", "weather", piece), *[ToolCallDelta(0, arguments=piece)] * 9))
    error = scene.answer(tools=theirs("weather")).error
    assert isinstance(error, ProviderError)
    assert "longer than" in error.message
    assert scene.model.active == 0


def test_ids_that_tell_nothing_apart_are_replaced(scene: Scene) -> None:
    """Empty and repeated ids, in one step or in several, still bind each result to its own call."""
    scene.tools.tools = [tool("echo", lambda _run, given: given["say"])]
    step = [Wanted("", "echo", '{"say":"a"}'), Wanted("x", "echo", '{"say":"b"}'), Wanted("x", "echo", '{"say":"c"}')]
    scene.model.enqueue(asks(*step), asks(Wanted("x", "echo", '{"say":"d"}')), says("ok"))
    assert scene.answer().error is None
    messages = scene.model.calls[2].messages
    calls = [call["id"] for message in messages for call in message.get("tool_calls", ())]
    assert [message["content"] for message in messages if message["role"] == "tool"] == ["a", "b", "c", "d"]
    assert [message["tool_call_id"] for message in messages if message["role"] == "tool"] == calls
    assert all(calls)
    assert len(set(calls)) == 4


def test_names_that_no_api_takes_are_made_harmless(scene: Scene) -> None:
    """An invented name goes back to the model in a form that model APIs accept, or the conversation would be stuck."""
    scene.model.enqueue(asks(Wanted("c1", "run command!" + "x" * 100), Wanted("c2", "")), says("ok"))
    assert scene.answer().error is None
    names = [call["function"]["name"] for call in scene.model.calls[1].messages[2]["tool_calls"]]
    assert names == [("run_command_" + "x" * 100)[:64], "_"]


# How runs with tools end early.


@pytest.mark.parametrize("how", ["cancel", "deadline"])
def test_an_end_ends_the_tools(scene: Scene, how: str) -> None:
    """A cancel or the deadline ends the tool at work; what was done and what was interrupted is on record."""
    at_work, over = Gate(), Gate()

    def slow(_run: object, _arguments: object) -> str:
        try:
            at_work.set()
            Gate().wait()
        finally:
            over.set()
        return "never"

    scene.tools.tools = [tool("quick"), tool("slow", slow)]
    calls = Wanted("c1", "quick"), Wanted("c2", "slow"), Wanted("c3", "quick")
    scene.model.enqueue(asks(*calls, text="Wait."))
    run = scene.start("hi", agent=replace(MAIN, timeout_seconds=30 if how == "cancel" else 1))
    until(at_work.is_set)
    if how == "cancel":
        run.cancel(GONE)
    error = ended(run).error
    assert isinstance(error, RunCancelled if how == "cancel" else RunTimeout)
    assert over.is_set()
    (stored,) = scene.stored()
    assert stored.status == "interrupted"
    assert stored.messages == [
        user("hi"),
        assistant("Wait.", *calls),
        result("c1"),
        result("c2", INTERRUPTED),
        {"role": "tool", "tool_call_id": "c3", "content": NO_RESULT},
        assistant(INTERRUPTED_MARK),
    ]
    assert scene.at_rest()


def test_a_first_tool_that_is_interrupted_is_on_record(scene: Scene) -> None:
    """What may have been done in part is not forgotten, even where the run had said nothing yet."""
    at_work = Gate()
    scene.tools.tools = [tool("slow", lambda *_: str(at_work.set() or Gate().wait()))]
    scene.model.enqueue(asks(Wanted("c1", "slow")))
    run = scene.start("hi")
    until(at_work.is_set)
    run.cancel(GONE)
    ended(run)
    assert [(turn.status, turn.messages[2]) for turn in scene.stored()] == [("interrupted", result("c1", INTERRUPTED))]


def test_a_tool_that_takes_long_to_end(scene: Scene, monkeypatch: pytest.MonkeyPatch) -> None:
    """A tool that doesn't end in time holds up the run no longer, and the run ends with its own reason."""
    monkeypatch.setattr("app.agents.calls.TO_END", 0.05)
    at_work, let_go = Gate(), Gate()

    def stubborn(_run: object, _arguments: object) -> str:
        try:
            at_work.set()
            Gate().wait()
        finally:
            let_go.wait()
        return ""

    scene.tools.tools = [tool("stubborn", stubborn)]
    scene.model.enqueue(asks(Wanted("c1", "stubborn")))
    run = scene.start("hi")
    until(at_work.is_set)
    run.cancel(GONE)
    assert ended(run).error is GONE
    assert [turn.status for turn in scene.stored()] == ["interrupted"]
    let_go.set()


def test_a_failure_after_tools_keeps_what_they_did(scene: Scene) -> None:
    """When the model fails after a tool's work, the calls and results are on record as interrupted."""
    scene.tools.tools = [tool("write")]
    scene.model.enqueue(asks(Wanted("c1", "write")), (ProviderError("down"),))
    assert isinstance(scene.answer().error, ProviderError)
    (stored,) = scene.stored()
    assert stored.status == "interrupted"
    assert stored.messages == [
        user("hi"),
        assistant(None, Wanted("c1", "write")),
        result("c1"),
        assistant(INTERRUPTED_MARK),
    ]


# The caller's tools.


def test_a_call_of_the_callers_ends_the_run(scene: Scene) -> None:
    """Id and arguments arrive as the model made them, the text before is kept, and the calls are on record."""
    scene.tools.tools = [tool("look")]
    call = Wanted("abc", "weather", '{"city": "Bern" }')
    scene.model.enqueue(asks(Wanted("c0", "look"), text="Hm."), asks(call, text="I ask."))
    run = scene.start("weather?", tools=theirs("weather"))
    seen = events(run)
    assert calls_of_events(seen) == [
        ToolCallDelta(0, "abc", "weather"),
        ToolCallDelta(0, arguments=call.arguments),
    ]
    assert text_of_events(seen) == run.answer.text == "Hm.\n\nI ask."
    assert seen[-1].finish_reason == "tool_calls"
    assert run.answer.calls == assistant(None, call)["tool_calls"]
    assert scene.stored()[0].messages[-1] == assistant("I ask.", call)


def test_broken_arguments_are_the_callers_to_judge(scene: Scene) -> None:
    """What the model wrote for a tool of the caller is not checked and not changed."""
    scene.model.enqueue(asks(Wanted("abc", "weather", '{"city": ')))
    run = scene.start(tools=theirs("weather"))
    assert ended(run).finish_reason == "tool_calls"
    assert run.answer.calls[0]["function"]["arguments"] == '{"city": '


def test_own_and_callers_calls_in_one_step(scene: Scene) -> None:
    """The agent's own are done first, the caller sees only its own, counted from 0 without a gap."""
    scene.tools.tools = [tool("look", lambda *_: "seen")]
    calls = Wanted("o1", "look"), Wanted("t1", "weather"), Wanted("o2", "look"), Wanted("t2", "news")
    scene.model.enqueue(asks(*calls))
    run = scene.start(tools=theirs("weather", "news"))
    seen = events(run)
    assert [(call.index, call.id) for call in calls_of_events(seen) if call.name] == [(0, "t1"), (1, "t2")]
    assert [event.id for event in seen if isinstance(event, ToolEnded)] == ["o1", "o2"]
    assert [call["id"] for call in run.answer.calls] == ["t1", "t2"]
    assert scene.stored()[0].messages == [
        user("hi"),
        assistant(None, *calls),
        result("o1", "seen"),
        result("o2", "seen"),
    ]


def test_an_id_of_the_agents_own_call_used_again(scene: Scene) -> None:
    """A provider that counts anew in each answer still gets the caller's result bound to the caller's call."""
    scene.tools.tools = [tool("look", lambda *_: "seen")]
    scene.model.enqueue(asks(Wanted("call_0", "look")), asks(Wanted("call_0", "weather")))
    run = scene.start(tools=theirs("weather"))
    assert ended(run).finish_reason == "tool_calls"
    (shown,) = run.answer.calls
    assert scene.answer(messages=[result(shown["id"], "rain")], tools=theirs("weather")).error is None
    tools = [message for message in scene.model.calls[2].messages if message["role"] == "tool"]
    assert [message["content"] for message in tools] == ["seen", "rain"]


def test_an_id_of_an_earlier_turn_used_again(scene: Scene) -> None:
    """A provider whose ids repeat from turn to turn: the caller gets them unchanged, and each of its results counts."""
    scene.model.default = asks(Wanted("call_0", "weather"))
    messages: list[dict[str, Any]] = [user("hi")]
    for _ in range(3):
        run = scene.start(messages=messages, tools=theirs("weather"))
        assert ended(run).error is None
        assert run.answer.calls[0]["id"] == "call_0"
        messages = [result("call_0", "rain")]


@pytest.mark.parametrize("own", [True, False])
def test_a_choice_of_none(scene: Scene, own: bool) -> None:
    """The caller's tools are not called: they are not offered to an agent with own tools, and refused in any case."""
    scene.tools.tools = [tool("look")] if own else []
    scene.model.enqueue(asks(Wanted("t1", "weather")), says("without"))
    run = scene.start(tools=theirs("weather"), tool_choice="none")
    seen = events(run)
    assert (seen[-1].finish_reason, calls_of_events(seen), run.answer.text) == ("stop", [], "without")
    first, second = scene.model.calls
    offered = [each["function"]["name"] for each in first.tools]
    assert (offered, first.tool_choice) == ((["look"], None) if own else (["weather"], "none"))
    assert "there is no tool 'weather'" in second.messages[-1]["content"]


@pytest.mark.parametrize("choice", ["required", WEATHER])
def test_a_demanded_call_holds_the_text_back(scene: Scene, choice: str | Mapping[str, Any]) -> None:
    """Text is shown when the call is certain, before it, and none of it is lost."""
    gate = Gate()
    call = Wanted("t1", "weather")
    play = asks(call, text="I ask.")
    scene.model.enqueue((*play[:2], gate, *play[2:]))
    run = scene.start(tools=theirs("weather", "news"), tool_choice=choice)
    until(lambda: run.answer.said)
    assert [event for event in run.events_waiting() if not isinstance(event, Began)] == []
    gate.set()
    seen = events(run)
    assert seen[0] == TextDelta("I ask.")
    assert seen[-1].finish_reason == "tool_calls"
    assert run.answer.text == "I ask."
    assert scene.model.calls[0].tool_choice == choice


def test_a_demanded_call_may_come_after_own_ones(scene: Scene) -> None:
    """The agent's own tools may come first; the text of all steps is shown with the call."""
    scene.tools.tools = [tool("look")]
    scene.model.enqueue(asks(Wanted("o1", "look"), text="One."), asks(Wanted("t1", "weather"), text="Two."))
    seen = events(scene.start(tools=theirs("weather"), tool_choice="required"))
    assert text_of_events(seen) == "One.\n\nTwo."
    assert seen[-1].finish_reason == "tool_calls"


@pytest.mark.parametrize(
    ("choice", "play"),
    [
        ("required", says("no")),
        (WEATHER, says("no")),
        (WEATHER, asks(Wanted("t1", "news"), text="no")),
        ("required", says("no", finish="length")),
    ],
)
def test_a_demand_that_is_not_met(scene: Scene, choice: Any, play: Any) -> None:
    """An answer without the demanded call is a 502, nothing of its text was shown, and nothing joins the history."""
    scene.model.enqueue(play)
    seen = events(scene.start(tools=theirs("weather", "news"), tool_choice=choice))
    assert isinstance(seen[-1].error, ToolChoiceUnmet)
    assert seen[-1].error.status == 502
    assert [type(event) for event in seen] == [Began, Ended]
    assert [turn.status for turn in scene.stored()] == ["failed"]
    assert scene.at_rest()


def test_a_refusal_does_not_meet_a_demand(scene: Scene) -> None:
    """It is held back as text is, and shown with the call if there is one after all."""
    refuses = (Began(), RefusalDelta("No."), Completed("stop", USAGE))
    scene.model.enqueue(refuses)
    seen = events(scene.start(tools=theirs("weather"), tool_choice="required", key=None))
    assert [type(event) for event in seen] == [Began, Ended]
    assert isinstance(seen[-1].error, ToolChoiceUnmet)
    call = asks(Wanted("t1", "weather"))
    scene.model.enqueue((*refuses[:2], *call[1:]))
    assert events(scene.start(tools=theirs("weather"), tool_choice="required"))[1] == RefusalDelta("No.")


# The caller's tools, some of which may be called.


@pytest.mark.parametrize("choice", ["auto", "required"])
def test_a_call_outside_of_the_list(scene: Scene, choice: str) -> None:
    """The model is offered all tools and told which it may call; the caller sees what it calls then, and no more."""
    scene.model.enqueue(asks(Wanted("t1", "news"), text="Hm."), asks(Wanted("t2", "weather"), text="I ask."))
    run = scene.start(tools=theirs("weather", "news"), tool_choice=choice, allowed=frozenset({"weather"}))
    seen = events(run)
    assert text_of_events(seen) == "Hm.\n\nI ask."
    assert [call.id for call in calls_of_events(seen) if call.name] == ["t2"]
    assert ([call["id"] for call in run.answer.calls], seen[-1].finish_reason) == (["t2"], "tool_calls")
    first, second = scene.model.calls
    assert ([each["function"]["name"] for each in first.tools], first.tool_choice) == (["weather", "news"], choice)
    refused = second.messages[-1]
    assert refused["tool_call_id"] == "t1"
    assert refused["content"].startswith("error: ")
    assert refused["content"].endswith("only these may be called: weather")
    assert not run.answer.changed


def test_calls_inside_and_outside_of_the_list_in_one_step(scene: Scene) -> None:
    """The one inside is the caller's; the one outside has its error on record when the caller comes back."""
    scene.model.enqueue(asks(Wanted("t1", "news"), Wanted("t2", "weather")))
    run = scene.start(tools=theirs("weather", "news"), allowed=frozenset({"weather"}))
    assert ended(run).finish_reason == "tool_calls"
    assert [call["id"] for call in run.answer.calls] == ["t2"]
    assert scene.answer(messages=[result("t2", "rain")], tools=theirs("weather", "news")).error is None
    _, _, said, *results = scene.model.calls[1].messages
    assert [call["id"] for call in said["tool_calls"]] == ["t1", "t2"]
    assert [message["tool_call_id"] for message in results] == ["t1", "t2"]


@pytest.mark.parametrize(("choice", "error"), [("auto", None), ("required", ToolChoiceUnmet)])
def test_a_model_that_keeps_to_what_is_not_allowed(scene: Scene, choice: str, error: Any) -> None:
    """It is asked again as often as the agent allows, and the caller sees none of its calls."""
    scene.model.default = asks(Wanted("t", "news"))
    fields = {"tools": theirs("weather", "news"), "tool_choice": choice, "allowed": frozenset({"weather"})}
    seen = events(scene.start(agent=replace(MAIN, max_turns=3), **fields))
    assert calls_of_events(seen) == []
    assert len(scene.model.calls) == 3
    assert (seen[-1].finish_reason, type(seen[-1].error)) == (None, error) if error else ("length", type(None))


def test_the_list_is_not_for_the_agents_own_tools(scene: Scene) -> None:
    """They are used as ever: the caller doesn't know of them."""
    scene.tools.tools = [tool("look", lambda *_: "seen")]
    scene.model.enqueue(asks(Wanted("o1", "look")), asks(Wanted("t1", "weather")))
    fields = {"tools": theirs("weather", "news"), "tool_choice": "required", "allowed": frozenset({"weather"})}
    assert scene.answer(**fields).finish_reason == "tool_calls"
    assert scene.model.calls[1].messages[-1] == result("o1", "seen")


def test_a_demand_that_the_limit_leaves_unmet(scene: Scene) -> None:
    """A run that only used own tools until its limit has not met the demand either."""
    scene.tools.tools = [tool("look")]
    scene.model.default = asks(Wanted("o", "look"))
    end = scene.answer(agent=replace(MAIN, max_turns=2), tools=theirs("weather"), tool_choice="required")
    assert isinstance(end.error, ToolChoiceUnmet)


def test_a_tool_of_the_agents_name_is_refused(scene: Scene) -> None:
    """Nobody could tell whose tool a call means."""
    scene.tools.tools = [tool("look")]
    error = scene.answer(tools=theirs("weather", "look")).error
    assert isinstance(error, InvalidRequest)
    assert error.param == "tools[1].function.name"
    assert scene.model.calls == []


# What follows a call of the caller's tools.


def asked_for_weather(scene: Scene, **fields: Any) -> Wanted:
    """A session in which the agent has used a tool of its own and one of the caller's is open."""
    scene.tools.tools = [tool("look", lambda *_: "seen")]
    call = Wanted("t1", "weather", '{"city":"Bern"}')
    scene.model.enqueue(asks(Wanted("o1", "look"), text="Hm."), asks(Wanted("o2", "look"), call, text="I ask."))
    assert scene.answer("weather?", tools=theirs("weather"), **fields).finish_reason == "tool_calls"
    return call


def test_a_result_alone_continues_the_session(scene: Scene) -> None:
    """A result is bound to its call by id, right behind it, with the own results of the same step."""
    asked_for_weather(scene)
    assert scene.answer(messages=[result("t1", "rain")], tools=theirs("weather")).error is None
    messages = scene.model.calls[2].messages[1:]
    assert [message.get("tool_call_id") or message["role"] for message in messages] == [
        *("user", "assistant", "o1", "assistant", "o2", "t1")
    ]
    assert scene.stored()[1].messages == [result("t1", "rain"), assistant("Hello world")]


def test_a_caller_who_resends_everything_with_its_result(scene: Scene) -> None:
    """The gateway's own steps are not in what it resends; still nothing is doubled and nothing is missing."""
    call = asked_for_weather(scene)
    resent = [user("weather?"), assistant("Hm.\n\nI ask.", call), result("t1", "rain")]
    assert scene.answer(messages=resent, tools=theirs("weather")).error is None
    assert scene.stored()[1].messages == [result("t1", "rain"), assistant("Hello world")]
    roles = [message["role"] for message in scene.model.calls[2].messages[1:]]
    assert roles == ["user", "assistant", "tool", "assistant", "tool", "tool"]


def test_a_result_of_no_call_is_refused(scene: Scene) -> None:
    """An id that the session doesn't know is the caller's mistake, and the model isn't asked."""
    asked_for_weather(scene)
    error = scene.answer(messages=[result("t9", "rain")]).error
    assert isinstance(error, InvalidRequest)
    assert "'t9'" in error.message
    assert len(scene.model.calls) == 2


@pytest.mark.parametrize("id", ["t1", "o1"])
def test_a_result_of_a_call_that_has_one_is_refused(scene: Scene, id: str) -> None:
    """All answered already, by the caller or by the agent's own tools: there is nothing to go on with."""
    asked_for_weather(scene)
    scene.answer(messages=[result("t1", "rain")])
    error = scene.answer(messages=[result(id, "rain")]).error
    assert isinstance(error, InvalidRequest)
    assert "already" in error.message


def test_a_call_that_the_caller_never_answers(scene: Scene) -> None:
    """A new message instead of a result: the model reads that there was none, right behind the call."""
    asked_for_weather(scene)
    assert scene.answer("never mind").error is None
    *_, unanswered, last = scene.model.calls[2].messages
    assert unanswered == {"role": "tool", "tool_call_id": "t1", "content": NO_RESULT}
    assert last == user("never mind")


def test_an_unexpected_fault_between_steps(scene: Scene) -> None:
    """A fault in the code in the middle of a run leaves what was done on record, and every place free."""
    scene.tools.tools = [tool("look")]
    scene.model.enqueue(asks(Wanted("o1", "look")), (KeyError("x"),))
    assert isinstance(scene.answer().error, InternalError)
    assert [turn.status for turn in scene.stored()] == ["interrupted"]
    assert scene.at_rest()


# Refusals.

REFUSES = (Began(), RefusalDelta("I can't "), RefusalDelta("do that."), Completed("stop", USAGE))


def test_a_refusal_is_told_and_on_record(scene: Scene) -> None:
    """It is no text of the answer, but what the model said: it reads it again in the next turn."""
    scene.model.enqueue(REFUSES)
    run = scene.start("one")
    assert events(run) == [*REFUSES[:3], Ended("stop", USAGE)]
    assert (run.answer.text, run.answer.shown) == ("", "I can't do that.")
    scene.answer("two")
    assert scene.model.calls[1].messages[1:] == [user("one"), assistant("I can't do that."), user("two")]


@pytest.mark.parametrize("own", [False, True])
def test_a_refusal_behind_text(scene: Scene, own: bool) -> None:
    """It begins a paragraph; a caller who sends both back is known as the one who saw them."""
    scene.tools.tools = [tool("look")]
    if own:
        scene.model.enqueue(asks(Wanted("o1", "look"), text="Hm."), REFUSES)
    else:
        scene.model.enqueue((Began(), TextDelta("Hm."), *REFUSES[1:]))
    run = scene.start("one")
    assert ended(run).error is None
    assert (run.answer.text, "".join(run.answer.refusal)) == ("Hm.\n\n", "I can't do that.")
    sent = [user("one"), assistant(run.answer.shown), user("two")]
    assert scene.answer(messages=sent).error is None
    assert scene.stored()[1].messages[0] == user("two")


def test_refusals_of_two_steps_are_two_paragraphs(scene: Scene) -> None:
    """As texts of two steps are."""
    scene.tools.tools = [tool("look")]
    scene.model.enqueue((Began(), RefusalDelta("No."), *asks(Wanted("o1", "look"))[1:]), REFUSES)
    run = scene.start("one")
    ended(run)
    assert run.answer.shown == "No.\n\nI can't do that."


def test_a_refusal_that_is_interrupted_stays(scene: Scene) -> None:
    """The caller saw it, so it is on record as text would be."""
    gate = Gate()
    scene.model.enqueue((*REFUSES[:2], gate))
    run = scene.start("one")
    until(lambda: run.answer.refusal)
    run.cancel(GONE)
    ended(run)
    (stored,) = scene.stored()
    assert (stored.status, stored.messages[-1]) == ("interrupted", assistant("I can't " + INTERRUPTED_MARK))


# What a model call carries besides.


def test_calls_of_one_session_share_a_cache_key(scene: Scene) -> None:
    """A provider finds its cache by it, and learns no session key; a stateless call has none."""
    for key in ("agent:main:a", "agent:main:a", "agent:main:b", None):
        scene.answer(key=key)
    first, again, other, none = (call.cache_key for call in scene.model.calls)
    assert first == again != other
    assert len(first) == 32
    assert "main" not in first
    assert none == ""


@pytest.mark.parametrize(
    ("tiers", "agreed"),
    [(("flex", "flex"), "flex"), (("flex", "default"), None), (("flex", None), None), ((None, None), None)],
)
def test_a_service_tier_is_that_of_all_calls(scene: Scene, tiers: Any, agreed: str | None) -> None:
    """Where they differ, none is true of the run; the fingerprint is the last call's."""
    scene.tools.tools = [tool("look")]
    scene.model.enqueue(
        (*asks(Wanted("o1", "look"))[:-1], Completed("tool_calls", USAGE, None, tiers[0], "fp_1")),
        (TextDelta("ok"), Completed("stop", USAGE, None, tiers[1], "fp_2")),
    )
    run = scene.start()
    ended(run)
    assert (run.answer.service_tier, run.answer.fingerprint) == (agreed, "fp_2")
