"""Tools for a model that knows none: what it is asked, and what its answers mean."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import jsonschema
import orjson
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from app.errors import ProviderError
from app.providers.schema_tools import stream_with_tools
from app.providers.stream import Began, Completed, Delta, ModelCall, TextDelta, ToolCallDelta, Usage
from tests.providers.scene import call, text_of

CITY = {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]}
PINNED = {"type": "function", "function": {"name": "search"}}
HELLO = "Hello, I am the answer."


def function(name: str, **fields: Any) -> dict[str, Any]:
    return {"type": "function", "function": {"name": name, **fields}}


TOOLS = [function("weather", description="Tells the weather.", parameters=CITY), function("search")]


def asking(*tools: Any, **fields: Any) -> ModelCall:
    return call()._replace(tools=tools or TOOLS, **fields)


def result_last(**fields: Any) -> ModelCall:
    """A call whose last message is a tool's result."""
    return asking(messages=HISTORY[:3], **fields)


class Model:
    """Says one text for each call, the last one again and again; ``calls`` are those that it got."""

    def __init__(self, *texts: str) -> None:
        self.calls: list[ModelCall] = []
        self.open = 0
        self._texts = list(texts)

    def stream(self, asked: ModelCall) -> Iterator[Delta]:
        self.calls.append(asked)
        self.open += 1
        try:
            text = self._texts.pop(0) if len(self._texts) > 1 else self._texts[0]
            yield Began()
            yield from map(TextDelta, text)
            yield Completed("stop", Usage(10, 2, 1))
        finally:
            self.open -= 1

    def schema(self) -> dict[str, Any]:
        """That of the first call's answer."""
        form = self.calls[0].sampling["response_format"]
        assert form["type"] == "json_schema"
        schema: dict[str, Any] = form["json_schema"]["schema"]
        jsonschema.Draft202012Validator.check_schema(schema)
        return schema

    def may_say(self, answer: Any) -> bool:
        return bool(jsonschema.Draft202012Validator(self.schema()).is_valid(answer))


def answers(model: Model, asked: ModelCall) -> list[Delta]:
    return list(stream_with_tools(asked, model.stream))


def test_a_chosen_tool_is_a_call() -> None:
    """The choice comes out as one whole tool call in OpenAI's way, with an id of at most 40 characters."""
    model = Model('{"tool": "weather", "arguments": {"city": "Oslo"}}')
    began, made, completed = answers(model, asking())
    assert isinstance(made, ToolCallDelta)
    assert (began, made.index, made.name) == (Began(), 0, "weather")
    assert orjson.loads(made.arguments) == {"city": "Oslo"}
    assert made.id.startswith("call_")
    assert len(made.id) <= 40
    assert completed == Completed("tool_calls", Usage(10, 2, 1))
    assert len(model.calls) == 1


def test_each_call_has_an_id_of_its_own() -> None:
    """Results are bound to calls by their ids."""
    made = [delta for _ in range(2) for delta in answers(Model('{"tool": "search"}'), asking())]
    ids = [delta.id for delta in made if isinstance(delta, ToolCallDelta)]
    assert len(set(ids)) == 2


def test_a_model_that_chooses_none_answers_as_it_always_does() -> None:
    """It is asked again with what the caller said and wants, and the tokens of both calls are counted."""
    model = Model('{"tool": "none"}', HELLO)
    asked = asking(sampling={"response_format": {"type": "json_object"}, "temperature": 1.5, "max_tokens": 9})
    deltas = answers(model, asked)
    assert (deltas.count(Began()), text_of(deltas)) == (1, HELLO)
    assert deltas[-1] == Completed("stop", Usage(20, 4, 2))
    assert model.calls[1] == asked._replace(tools=(), tool_choice=None)


@pytest.mark.parametrize("choice", [None, "auto"])
def test_auto_leaves_the_choice(choice: Any) -> None:
    """Any of the tools with its arguments, or none of them; and nothing else."""
    model = Model('{"tool": "none"}', HELLO)
    answers(model, asking(tool_choice=choice))
    assert model.may_say({"tool": "none"})
    assert model.may_say({"tool": "weather", "arguments": {"city": "Oslo"}})
    assert model.may_say({"tool": "search", "arguments": {"anything": 1}})
    for wrong in (
        {"tool": "weather", "arguments": {}},
        {"tool": "weather"},
        {"tool": "unknown", "arguments": {}},
        {"tool": "none", "and": "more"},
        "weather",
    ):
        assert not model.may_say(wrong), wrong


def test_required_leaves_no_way_around_a_tool() -> None:
    """Only a tool can be chosen."""
    model = Model('{"tool": "search", "arguments": {}}')
    deltas = answers(model, asking(tool_choice="required"))
    assert not model.may_say({"tool": "none"})
    assert model.may_say({"tool": "search", "arguments": {}})
    assert isinstance(deltas[1], ToolCallDelta)


def test_a_pinned_tool_is_the_only_one() -> None:
    """With a tool named, the others can't be chosen and are not told of."""
    model = Model('{"tool": "search", "arguments": {"q": 1}}')
    deltas = answers(model, asking(tool_choice=PINNED))
    assert model.may_say({"tool": "search", "arguments": {}})
    assert not model.may_say({"tool": "weather", "arguments": {"city": "Oslo"}})
    assert not model.may_say({"tool": "none"})
    assert "weather" not in model.calls[0].messages[0]["content"]
    assert [delta.name for delta in deltas if isinstance(delta, ToolCallDelta)] == ["search"]


@pytest.mark.parametrize("asked", [asking(tool_choice="none"), call()], ids=["none", "without tools"])
def test_without_tools_it_is_asked_once(asked: ModelCall) -> None:
    """Where nothing can be chosen, the call goes on as it is, only without tools."""
    model = Model(HELLO)
    assert text_of(answers(model, asked)) == HELLO
    assert model.calls == [asked._replace(tools=(), tool_choice=None)]


def test_a_model_with_its_result_answers() -> None:
    """Right after a tool's result no tool is offered again, unless the caller demands one."""
    model = Model(HELLO)
    assert text_of(answers(model, result_last())) == HELLO
    assert len(model.calls) == 1
    demanded = Model('{"tool": "search", "arguments": {}}')
    assert isinstance(answers(demanded, result_last(tool_choice="required"))[1], ToolCallDelta)


def test_the_choice_is_made_with_the_tools_in_view() -> None:
    """Names and descriptions are told instead of the agent's own prompt, and no tools go over the wire."""
    model = Model('{"tool": "none"}', HELLO)
    said = [{"role": "system", "content": "You are a pirate."}, {"role": "user", "content": "hi"}]
    answers(model, asking(messages=said))
    choosing, answering = model.calls
    system, *others = choosing.messages
    assert "weather: Tells the weather." in system["content"]
    assert "pirate" not in system["content"]
    assert others == said[1:]
    assert answering.messages == said
    assert not choosing.tools
    assert not answering.tools


CUT = ['{"tool": "weather", "argum', '{"tool": "search"', "{", ""]
DEEP = '{"tool": "search", "arguments": ' + "[" * 300 + "]" * 300 + "}"
GARBAGE = ["Sure, I can help.", "[]", "null", '"search"', "{}", '{"tool": 5}', '{"tool": "unknown"}', '{"reply": "hi"}']


@pytest.mark.parametrize("choice", [*CUT, *GARBAGE, DEEP])
def test_a_choice_that_is_none_becomes_an_answer(choice: str) -> None:
    """A choice that was cut short or makes no sense is no call; the model answers in words."""
    model = Model(choice, HELLO)
    deltas = answers(model, asking())
    assert text_of(deltas) == HELLO
    assert not [delta for delta in deltas if isinstance(delta, ToolCallDelta)]
    assert deltas[-1] == Completed("stop", Usage(20, 4, 2))


JSON = st.recursive(
    st.none() | st.integers() | st.text(), lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner)
)
CHOICES = st.text() | st.fixed_dictionaries(
    {"tool": st.sampled_from(["weather", "search", "none", ""]) | JSON}, optional={"arguments": JSON}
).map(json.dumps)


@settings(deadline=None)
@given(CHOICES)
def test_whatever_it_says_is_a_call_or_an_answer(text: str) -> None:
    """Any text at all gives a call of one of the tools with arguments in JSON, or the answer; and always an end."""
    deltas = answers(Model(text, HELLO), asking())
    assert isinstance(deltas[-1], Completed)
    if made := [delta for delta in deltas if isinstance(delta, ToolCallDelta)]:
        assert [delta.name in ("weather", "search") for delta in made] == [True]
        orjson.loads(made[0].arguments)
        assert deltas[-1].finish_reason == "tool_calls"
    else:
        assert text_of(deltas) == HELLO


# Schemas.


@pytest.mark.parametrize("defs", ["$defs", "definitions"])
def test_references_within_a_tools_schema_hold(defs: str) -> None:
    """A schema with definitions of its own, recursive ones too, means the same as a part of the answer's schema."""
    node = {
        "type": "object",
        "properties": {"name": {"type": "string"}, "inner": {"$ref": f"#/{defs}/Node"}},
        "required": ["name"],
    }
    tree = {
        "type": "object",
        "properties": {"root": {"$ref": f"#/{defs}/Node"}},
        "required": ["root"],
        defs: {"Node": node},
    }
    whole = {"type": "object", "properties": {"again": {"$ref": "#"}}, "additionalProperties": False}
    model = Model('{"tool": "none"}', HELLO)
    answers(model, asking(function("tree", parameters=tree), function("whole", parameters=whole)))
    deep = {"name": "a", "inner": {"name": "b"}}
    assert model.may_say({"tool": "tree", "arguments": {"root": deep}})
    assert not model.may_say({"tool": "tree", "arguments": {"root": {"name": "a", "inner": {"name": 5}}}})
    assert model.may_say({"tool": "whole", "arguments": {"again": {"again": {}}}})
    assert not model.may_say({"tool": "whole", "arguments": {"again": {"other": {}}}})


def test_a_property_may_be_called_as_a_keyword_is() -> None:
    """References below properties named ``default`` or ``$ref`` hold like any other."""
    schema = {
        "type": "object",
        "properties": {"default": {"$ref": "#/$defs/N"}, "$ref": {"$ref": "#/$defs/N"}},
        "$defs": {"N": {"type": "integer"}},
    }
    model = Model('{"tool": "none"}', HELLO)
    answers(model, asking(function("f", parameters=schema)))
    assert model.may_say({"tool": "f", "arguments": {"default": 1, "$ref": 2}})
    assert not model.may_say({"tool": "f", "arguments": {"default": "a"}})


@pytest.mark.parametrize("parameters", [{}, None])
def test_a_tool_without_parameters_takes_an_object(parameters: Any) -> None:
    """Arguments are an object even where the tool doesn't say which."""
    model = Model('{"tool": "none"}', HELLO)
    answers(model, asking(function("f", parameters=parameters)))
    assert model.may_say({"tool": "f", "arguments": {}})
    assert not model.may_say({"tool": "f", "arguments": "x"})


# History.

HISTORY = [
    {"role": "user", "content": "And in Oslo?"},
    {
        "role": "assistant",
        "content": "I look.",
        "tool_calls": [
            {"id": "c1", "type": "function", "function": {"name": "weather", "arguments": '{"city":"Oslo"}'}},
            {"id": "c2", "type": "function", "function": {"name": "search", "arguments": ""}},
        ],
        "state": {"api": "x"},
    },
    {"role": "tool", "tool_call_id": "c1", "content": [{"type": "text", "text": "rain"}]},
    {"role": "tool", "tool_call_id": "c2", "content": "nothing found"},
    {"role": "assistant", "content": "It rains."},
    {"role": "user", "content": "Thanks."},
]


@pytest.mark.parametrize("fields", [{}, {"tool_choice": "none"}, {"tools": ()}])
def test_calls_and_results_are_told_in_words(fields: Any) -> None:
    """The model reads what was called and what came of it as plain messages, whether it has tools now or not."""
    model = Model(HELLO)
    answers(model, asking(messages=HISTORY)._replace(**fields))
    told = model.calls[-1].messages
    assert [set(message) for message in told] == [{"role", "content"}] * len(HISTORY)
    assert [message["role"] for message in told] == ["user", "assistant", "user", "user", "assistant", "user"]
    said = [message["content"] for message in told]
    assert [said[0], *said[4:]] == ["And in Oslo?", "It rains.", "Thanks."]
    for word in ("I look.", "weather", '{"city":"Oslo"}', "search"):
        assert word in said[1]
    assert "weather" in said[2]
    assert "rain" in said[2]
    assert "search" in said[3]
    assert "nothing found" in said[3]


# Faults.


@pytest.mark.parametrize("failing", [1, 2])
def test_a_fault_of_either_call_is_raised(failing: int) -> None:
    """What the provider raises comes out as it is."""
    error = ProviderError("busy")
    model = Model('{"tool": "none"}', HELLO)

    def stream(asked: ModelCall) -> Iterator[Delta]:
        yield from model.stream(asked)
        if len(model.calls) == failing:
            raise error

    with pytest.raises(ProviderError) as raised:
        list(stream_with_tools(asking(), stream))
    assert raised.value is error


@pytest.mark.parametrize("texts", [('{"tool": "none"}', HELLO), (HELLO, HELLO)])
def test_closing_stops_the_model(texts: tuple[str, ...]) -> None:
    """Whoever stops reading in the middle of an answer stops the model."""
    model = Model(*texts)
    stream: Any = stream_with_tools(asking(), model.stream)
    assert next(stream) == Began()
    assert isinstance(next(stream), TextDelta)
    assert model.open == 1
    stream.close()
    assert model.open == 0
