"""Tool calls as they come, what is wrong with them, and how they are done."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import gevent
import pytest
from gevent.event import Event as Gate
from hypothesis import given, settings
from hypothesis import strategies as st

from app.agents.calls import AT_ONCE, MAX_ARGUMENTS, MAX_CALLS, MAX_STEP_ARGUMENTS, Calls, clipped, orders, perform
from app.agents.events import ToolEnded, ToolStarted
from app.agents.tools.tool import Tool
from app.agents.tools.toolbox import Offer
from app.errors import ProviderError
from app.providers.stream import Message, ToolCallDelta
from tests.agents.scene import result, tool, until

RUN: Any = SimpleNamespace(id="run-1")


def gathered(*deltas: ToolCallDelta, taken: set[str] | None = None, theirs: frozenset[str] = frozenset()) -> Calls:
    calls = Calls(theirs)
    ids = set() if taken is None else taken
    for delta in deltas:
        calls.add(delta, ids)
    return calls


def offer(*tools: Any) -> Offer:
    return Offer({each.name: each for each in tools}, (), "test")


def done(*deltas: ToolCallDelta, tools: Any, limit: int = 1000) -> list[Message]:
    results: list[Message] = []
    with gevent.Timeout(10):
        list(perform(RUN, orders(gathered(*deltas).all(), offer(*tools)), results, limit))
    return results


def test_fragments_of_several_calls_may_mix() -> None:
    """Each fragment joins the call of its index, whatever comes between."""
    calls = gathered(
        ToolCallDelta(0, "a", "f", '{"x'),
        ToolCallDelta(1, "b", "g"),
        ToolCallDelta(0, arguments='":1}'),
        ToolCallDelta(1, arguments="{}"),
    )
    assert [(call.id, call.name, call.arguments) for call in calls.all()] == [("a", "f", '{"x":1}'), ("b", "g", "{}")]


def shown(calls: Calls) -> list[ToolCallDelta]:
    """What the caller sees of them."""
    return [delta for call in calls.all() if call.shown is not None for delta in call.deltas()]


def test_the_caller_sees_its_own_calls_alone() -> None:
    """Its calls are counted from 0, each with id and name first; of the agent's own it sees nothing."""
    taken: set[str] = set()
    calls = gathered(
        ToolCallDelta(0, "a", "look", "{"),
        ToolCallDelta(1, "b", "weather", '{"x"'),
        ToolCallDelta(2, "c", "weather", "{}"),
        ToolCallDelta(1, arguments=":1}"),
        taken=taken,
        theirs=frozenset({"weather"}),
    )
    assert shown(calls) == [
        ToolCallDelta(0, "b", "weather"),
        ToolCallDelta(0, arguments='{"x":1}'),
        ToolCallDelta(1, "c", "weather"),
        ToolCallDelta(1, arguments="{}"),
    ]
    assert taken == {"a", "b", "c"}


@pytest.mark.parametrize("arguments", ["", " \n"])
def test_no_arguments_are_an_empty_object(arguments: str) -> None:
    """A model that writes nothing means a call without arguments, and JSON is what everybody reads."""
    theirs = gathered(ToolCallDelta(0, "a", "weather", arguments), theirs=frozenset({"weather"}))
    assert shown(theirs) == [ToolCallDelta(0, "a", "weather"), ToolCallDelta(0, arguments="{}")]
    (order,) = orders(gathered(ToolCallDelta(0, "a", "f", arguments)).all(), offer(tool("f")))
    assert (order.arguments, order.fault, order.call.arguments) == ({}, "", "{}")


def test_long_arguments_come_in_pieces() -> None:
    """No event is so long that a client gives up reading its line, and nothing of them is lost."""
    arguments = f'{{"a":"{"x" * 50_000}"}}'
    calls = gathered(ToolCallDelta(0, "a", "weather", arguments), theirs=frozenset({"weather"}))
    first, *pieces = shown(calls)
    assert first == ToolCallDelta(0, "a", "weather")
    assert len(pieces) == 4
    assert "".join(piece.arguments for piece in pieces) == arguments


def test_half_an_emoji_in_arguments() -> None:
    """A model that breaks a pair apart loses that character, not its call."""
    (order,) = orders(gathered(ToolCallDelta(0, "a", "f", '{"x":"cut \\ud83d"}')).all(), offer(tool("f")))
    assert (order.arguments, order.fault) == ({"x": "cut \ufffd"}, "")


def test_a_barred_tool_is_refused_with_its_reason() -> None:
    """The model reads why, in the place of a result."""
    (order,) = orders(gathered(ToolCallDelta(0, "a", "news", "{}")).all(), offer(tool("f")), {"news": "not now"})
    assert (order.tool, order.fault) == (None, "not now")


@pytest.mark.parametrize(
    ("id", "name", "unchanged"),
    [("", "look", False), ("used", "look", False), ("used", "weather", True), ("", "weather", False)],
)
def test_an_id_that_tells_nothing_apart(id: str, name: str, unchanged: bool) -> None:
    """An empty one is replaced, and a used one of the agent's own; the caller's stays as the model made it."""
    calls = gathered(ToolCallDelta(0, id, name), taken={"used"}, theirs=frozenset({"weather"}))
    (call,) = calls.all()
    assert (call.id == id) is unchanged
    assert call.id
    assert [delta.id for delta in shown(calls)[:1]] == [call.id] * (name == "weather")


def test_calls_beyond_the_bound_are_counted_and_forgotten() -> None:
    """The first ones stay, and of the others nothing but their number."""
    calls = gathered(*(ToolCallDelta(n, f"c{n}", "f", "{}") for n in range(MAX_CALLS + 5)))
    calls.add(ToolCallDelta(MAX_CALLS + 1, arguments="more"), set())
    assert [call.id for call in calls.all()] == [f"c{n}" for n in range(MAX_CALLS)]
    assert calls.dropped == 5


@pytest.mark.parametrize("pieces", [(MAX_ARGUMENTS, 1), (1, MAX_ARGUMENTS), (MAX_ARGUMENTS + 1,)])
def test_arguments_beyond_the_bound_are_lost(pieces: tuple[int, ...]) -> None:
    """Nothing of them is kept, neither what came before nor what comes after."""
    calls = gathered(ToolCallDelta(0, "a", "f"), *(ToolCallDelta(0, arguments="x" * size) for size in pieces))
    calls.add(ToolCallDelta(0, arguments="{}"), set())
    (call,) = calls.all()
    assert (call.arguments, call.arguments_lost) == ("", True)
    (order,) = orders([call], offer(tool("f")))
    assert "longer than" in order.fault


def test_arguments_of_a_step_are_bounded_together() -> None:
    """Many calls within their own bound are still bounded in sum."""
    count = MAX_STEP_ARGUMENTS // MAX_ARGUMENTS + 3
    calls = gathered(*(ToolCallDelta(n, f"c{n}", "f", "x" * MAX_ARGUMENTS) for n in range(count)))
    assert sum(len(call.arguments) for call in calls.all()) == MAX_STEP_ARGUMENTS
    assert [call.arguments_lost for call in calls.all()] == [False] * (count - 3) + [True] * 3


def test_arguments_of_the_callers_tool_are_bounded() -> None:
    """Nobody can carry such a call out, so the run ends with an error."""
    with pytest.raises(ProviderError, match="longer than"):
        gathered(ToolCallDelta(0, "a", "weather", "x" * (MAX_ARGUMENTS + 1)), theirs=frozenset({"weather"}))


@settings(deadline=None)
@given(st.text(max_size=50) | st.text(alphabet='{}[]":,0a \\', max_size=30))
def test_any_arguments_are_an_order_or_a_fault(text: str) -> None:
    """Whatever a model writes, the tool is given an object or the model a reason."""
    (order,) = orders(gathered(ToolCallDelta(0, "a", "f", text)).all(), offer(tool("f")))
    assert isinstance(order.arguments, dict)
    assert bool(order.fault) == (not order.sound and text.strip() != "")
    assert len(order.fault) < 400


def test_arguments_that_are_nested_without_end() -> None:
    """A deep nesting is a fault like any other, not one of the gateway's."""
    deep = '{"a":' * 100_000 + "1" + "}" * 100_000
    (order,) = orders(gathered(ToolCallDelta(0, "a", "f", deep)).all(), offer(tool("f")))
    assert "not valid JSON" in order.fault


def test_only_so_many_tools_work_at_once() -> None:
    """Of many concurrent calls the rest wait for a place, and all get done."""
    active = most = 0
    gate = Gate()

    def work(*_: object) -> str:
        nonlocal active, most
        active += 1
        most = max(active, most)
        if most == AT_ONCE:
            gate.set()
        gate.wait()
        gevent.sleep(0)
        active -= 1
        return "ok"

    deltas = [ToolCallDelta(n, f"c{n}", "f") for n in range(AT_ONCE * 3)]
    assert len(done(*deltas, tools=[tool("f", work, concurrent=True)])) == AT_ONCE * 3
    assert most == AT_ONCE


def test_a_tool_that_must_be_alone_is_alone() -> None:
    """Concurrent calls before and behind it wait, and all results stand in the order of the calls."""
    active: list[str] = []

    def work(name: str) -> Any:
        def body(*_: object) -> str:
            active.append(name)
            gevent.sleep(0)
            assert name == "reads" or active == ["writes"]
            active.remove(name)
            return name

        return body

    tools = [tool("reads", work("reads"), concurrent=True), tool("writes", work("writes"))]
    names = ["reads", "reads", "writes", "reads", "writes"]
    results = done(*(ToolCallDelta(n, f"c{n}", name) for n, name in enumerate(names)), tools=tools)
    assert results == [result(f"c{n}", name) for n, name in enumerate(names)]


def test_an_end_in_the_middle_keeps_what_was_done() -> None:
    """Of tools side by side, those that had ended keep their results; the others are ended, and theirs say so."""
    gate, ended = Gate(), Gate()

    def slow(*_: object) -> str:
        try:
            gate.wait()
        finally:
            ended.set()
        return "never"

    tools = [tool("slow", slow, concurrent=True), tool("quick", concurrent=True)]
    todo = orders(gathered(ToolCallDelta(0, "a", "slow"), ToolCallDelta(1, "b", "quick")).all(), offer(*tools))
    results: list[Message] = []
    events: list[Any] = []
    working = gevent.spawn(lambda: events.extend(iter_into(events, perform(RUN, todo, results, 1000))))
    until(lambda: any(isinstance(event, ToolEnded) for event in events))
    working.kill(KeyError("the end"))
    assert ended.is_set()
    assert [event for event in events if isinstance(event, ToolStarted)] == [
        ToolStarted("a", "slow", {}),
        ToolStarted("b", "quick", {}),
    ]
    assert results == [result("a", "error: interrupted before it ended; it may be done in part"), result("b")]


def iter_into(events: list[Any], what: Any) -> list[Any]:
    for event in what:
        events.append(event)
    return []


@given(st.text(max_size=200), st.integers(2, 100))
def test_a_clipped_text_has_both_ends(text: str, limit: int) -> None:
    """What fits is untouched; of what doesn't the beginning and the end are left, and how many are missing is true."""
    short = clipped(text, limit)
    if len(text) <= limit:
        assert short == text
        return
    half = limit // 2
    assert short.startswith(text[:half])
    assert short.endswith(text[-half:])
    assert f"[… {len(text) - 2 * half} characters left out …]" in short


def test_many_unknown_arguments_are_refused_by_name() -> None:
    """A few of them are named, and nothing is checked one by one."""
    closed = {"type": "object", "properties": {"path": {"type": "string"}}, "additionalProperties": False}
    made = Tool("read", "", closed, lambda run, arguments: "")
    fault = made.fault_of({f"key{number}": 1 for number in range(1000)})
    assert fault.startswith("unknown arguments: key0, ")
    assert len(fault) < 400


def test_arguments_that_are_nested_too_deeply() -> None:
    """The model reads so, instead of the run failing."""
    deep: list[object] = []
    for _ in range(900):
        deep = [deep]
    schema = {
        "type": "object",
        "properties": {"path": {"$ref": "#/$defs/deep"}},
        "$defs": {"deep": {"items": {"$ref": "#/$defs/deep"}}},
    }
    made = Tool("read", "", schema, lambda run, arguments: "")
    assert "nested too deeply" in made.fault_of({"path": deep})
