"""The Anthropic wire format: what a conversation becomes there, and what is read of every kind of answer."""

from __future__ import annotations

import json
import re
import time
from types import MappingProxyType
from typing import Any

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.config.settings import Model, Provider
from app.errors import (
    ContextOverflow,
    ProviderAuthError,
    ProviderError,
    ProviderOutOfCredit,
    ProviderRateLimit,
    ProviderRefused,
)
from app.providers import sse, state
from app.providers.anthropic_conversation import CONTINUE, UNANSWERED, conversation
from app.providers.anthropic_messages import AnthropicMessages, headers
from app.providers.anthropic_request import DEFAULT_MAX_TOKENS, ONLY_JSON, payload
from app.providers.request_fields import taken
from app.providers.stream import Began, Completed, Delta, ModelCall, ReasoningDelta, TextDelta, ToolCallDelta, Usage
from tests import scripted
from tests.providers.scene import MESSAGES, collected, completed, reasoning_of, text_of, upstream
from tests.scripted import (
    Cut,
    Empty,
    ErrorInStream,
    NoFinish,
    RawStream,
    Reply,
    ScriptedProvider,
    Status,
    ToolCall,
    signature,
)

CLAUDE = "claude-opus-4-6"
THINKER = Model(id=CLAUDE, name=CLAUDE, reasoning=True)
WEATHER: dict[str, Any] = {
    "type": "function",
    "function": {
        "name": "weather",
        "description": "Weather of a city",
        "parameters": {"type": "object", "properties": {"city": {"type": "string"}}},
    },
}
CALL = {"id": "toolu_1", "type": "function", "function": {"name": "weather", "arguments": '{"city":"Oslo"}'}}
CALLING = {"role": "assistant", "content": None, "tool_calls": [CALL]}
RESULT = {"role": "tool", "tool_call_id": "toolu_1", "content": "rain"}
PNG = "data:image/png;base64,aGk="


FIELDS = taken("anthropic-messages", openai=False)


def asked(messages: Any = MESSAGES, model: str = CLAUDE, **fields: Any) -> ModelCall:
    known = {name: fields.pop(name) for name in ("tools", "tool_choice") if name in fields}
    return ModelCall(model=model, messages=messages, deadline=time.monotonic() + 60, sampling=fields, **known)


def body(messages: Any = MESSAGES, *, of: Model | None = None, **fields: Any) -> dict[str, Any]:
    """The request's body, as it would be sent."""
    call = asked(messages, **fields)
    sent: dict[str, Any] = json.loads(
        json.dumps(payload(call, of or Model(id=call.model, name=call.model), f"scripted/{call.model}", FIELDS))
    )
    return sent


def turns(*messages: dict[str, Any], model: str = CLAUDE) -> list[dict[str, Any]]:
    return conversation(messages, f"scripted/{model}").turns


def user(text: str) -> dict[str, Any]:
    return {"role": "user", "content": text}


def block(text: str) -> dict[str, Any]:
    return {"type": "text", "text": text}


def ask(provider: ScriptedProvider, call: ModelCall | None = None, model: Model = THINKER) -> list[Delta]:
    """All deltas of one answer, over a connection of its own."""
    connections = upstream(provider.base_url)
    try:
        return collected(AnthropicMessages(connections, model).stream(call or asked()))
    finally:
        connections.close()


# What is asked.


@pytest.mark.parametrize("ending", ["/v1", "/v1/", "", "/"])
def test_the_request(provider: ScriptedProvider, ending: str) -> None:
    """It goes to /v1/messages, whether or not the URL ends in /v1, with version and key in headers of their own."""
    key = Provider(id="a", base_url="http://unused", api_key="sk-ant-0123456789")
    connections = upstream(provider.base_url.removesuffix("/v1") + ending, headers=headers(key))
    collected(AnthropicMessages(connections, THINKER).stream(asked()))
    received = provider.requests[0]
    assert (received.path, received.api) == ("/v1/messages", "anthropic-messages")
    assert received.headers["anthropic-version"] == "2023-06-01"
    assert received.headers["x-api-key"] == "sk-ant-0123456789"
    assert connections.secrets == ("sk-ant-0123456789",)
    assert received.body == {
        "model": CLAUDE,
        "max_tokens": DEFAULT_MAX_TOKENS,
        "messages": [{"role": "user", "content": [block("hi") | {"cache_control": {"type": "ephemeral"}}]}],
        "stream": True,
    }


def test_headers_of_the_configuration_win() -> None:
    """Another version, another key's header or a bearer token replaces what would be sent."""
    own = {"Anthropic-Version": "2030-01-01", "X-Api-Key": "other"}
    configured = Provider(id="a", base_url="http://unused", api_key="key", headers=MappingProxyType(own))
    assert headers(configured) == own
    bearer = {"Authorization": "Bearer token"}
    configured = Provider(id="a", base_url="http://unused", api_key="key", headers=MappingProxyType(bearer))
    assert headers(configured) == {"anthropic-version": "2023-06-01", **bearer}


def test_system_messages_are_no_turns() -> None:
    """Instructions stand beside the conversation, wherever they stood in it; blank ones nowhere."""
    sent = body([{"role": "system", "content": "Be kind."}, *MESSAGES, {"role": "developer", "content": "And short."}])
    assert [part["text"] for part in sent["system"]] == ["Be kind.", "And short."]
    assert "system" not in body([{"role": "system", "content": " "}, *MESSAGES])


def test_a_turn_with_tools_goes_there_and_back() -> None:
    """Calls become tool_use, results one turn of the user, before what the user says with them."""
    second = {**CALL, "id": "toolu_2", "function": {"name": "weather", "arguments": "not JSON"}}
    failed = {"role": "tool", "tool_call_id": "toolu_2", "content": "error: no such city", "failed": True}
    given: list[dict[str, Any]] = [
        {**CALLING, "content": "Let me see.", "tool_calls": [CALL, second]},
        RESULT,
        failed,
        user("and now?"),
    ]
    _, answer, results = turns(user("hi"), *given)
    assert answer["content"] == [
        block("Let me see."),
        {"type": "tool_use", "id": "toolu_1", "name": "weather", "input": {"city": "Oslo"}},
        {"type": "tool_use", "id": "toolu_2", "name": "weather", "input": {}},
    ]
    assert results["content"] == [
        {"type": "tool_result", "tool_use_id": "toolu_1", "content": [block("rain")]},
        {
            "type": "tool_result",
            "tool_use_id": "toolu_2",
            "content": [block("error: no such city")],
            "is_error": True,
        },
        block("and now?"),
    ]


@pytest.mark.parametrize("arguments", ["", "[]", "5", "null", '{"a"', '"text"', '{"a":' * 252 + "1" + "}" * 252])
def test_arguments_that_are_no_object_are_an_empty_one(arguments: str) -> None:
    """A model's slip of the past doesn't make the whole conversation invalid."""
    call = {**CALL, "function": {"name": "weather", "arguments": arguments}}
    orjson.dumps(payload(asked([*MESSAGES, {**CALLING, "tool_calls": [call]}]), THINKER, CLAUDE, FIELDS))
    assert turns(user("hi"), {**CALLING, "tool_calls": [call]}, RESULT)[1]["content"][0]["input"] == {}


def test_a_call_without_a_result_gets_one() -> None:
    """The API wants one for each call; the model reads that it was not carried out."""
    answered = turns(user("hi"), CALLING, user("never mind"))[-1]["content"]
    assert answered[0] == {
        "type": "tool_result",
        "tool_use_id": "toolu_1",
        "content": [block(UNANSWERED)],
        "is_error": True,
    }
    assert answered[1] == block("never mind")
    assert turns(user("hi"), CALLING)[-1]["content"][0]["type"] == "tool_result"


def test_a_result_without_a_call_is_what_the_user_says() -> None:
    """What a tool said is not lost when its call was forgotten, or is answered already."""
    assert turns(RESULT)[0]["content"] == [block("rain")]
    last = turns(user("hi"), CALLING, RESULT, {**RESULT, "content": "again"})[-1]
    assert [part["type"] for part in last["content"]] == ["tool_result", "text"]


def test_ids_of_other_servers_are_made_unique() -> None:
    """Servers that count their calls anew in each answer, with letters of their own, make no invalid conversation."""
    call = {**CALL, "id": "call:0"}
    step: list[dict[str, Any]] = [{**CALLING, "tool_calls": [call, call]}]
    step += [{**RESULT, "tool_call_id": "call:0"}] * 2
    found = turns(user("hi"), *step, *step)
    ids = [part["id"] for turn in found for part in turn["content"] if part["type"] == "tool_use"]
    results = [part["tool_use_id"] for turn in found for part in turn["content"] if part["type"] == "tool_result"]
    assert len(set(ids)) == 4
    assert results == ids


def test_images_are_sent_by_value_or_by_name() -> None:
    """A data URL becomes base64 with its type, another URL stays one."""
    urls = (PNG, "data:image/jpg;base64,aGk=", "data:image/gif,hi", "https://example.com/a.png")
    parts = [{"type": "image_url", "image_url": {"url": url}} for url in urls]
    assert [part["source"] for part in turns({"role": "user", "content": parts})[0]["content"]] == [
        {"type": "base64", "media_type": "image/png", "data": "aGk="},
        {"type": "base64", "media_type": "image/jpeg", "data": "aGk="},
        {"type": "base64", "media_type": "image/gif", "data": "aGk="},
        {"type": "url", "url": "https://example.com/a.png"},
    ]


def test_content_of_an_unknown_kind_is_refused() -> None:
    """What the format has no block for is an error that says so, not a silent loss."""
    with pytest.raises(ProviderRefused, match="input_audio"):
        body([{"role": "user", "content": [{"type": "input_audio", "input_audio": {}}]}])


@pytest.mark.parametrize("messages", [[], [user(" ")], [{"role": "assistant", "content": "hello"}]])
def test_a_conversation_begins_and_ends_with_the_user(messages: list[dict[str, Any]]) -> None:
    """Where nobody has spoken, or the model last, a short word of the user stands."""
    found = turns(*messages)
    assert found[0]["content"] == found[-1]["content"] == [block(CONTINUE)]


TEXTS = st.sampled_from(["", " ", "\n", "hi", "hello\n", "\U0001f600", "\x00"])
IDS = st.sampled_from(["a", "b", "call:0", "", "é", "x" * 100])
CALLS = st.builds(
    lambda id, name, arguments: {"id": id, "type": "function", "function": {"name": name, "arguments": arguments}},
    IDS,
    st.sampled_from(["weather", "a b", ""]),
    st.sampled_from(["", "{}", '{"a":1}', "[", "7"]),
)
PARTS = st.lists(
    st.one_of(
        st.builds(lambda text: {"type": "text", "text": text}, TEXTS),
        st.just({"type": "image_url", "image_url": {"url": PNG}}),
    )
)
THOUGHTS = st.sampled_from(
    [
        None,
        {
            "api": "anthropic-messages",
            "model": CLAUDE,
            "blocks": [
                {"type": "thinking", "thinking": "", "signature": "s"},
                {"type": "text", "length": 1},
                {"type": "redacted_thinking", "data": "d"},
                {"type": "call"},
            ],
        },
    ]
)
CONVERSATIONS = st.lists(
    st.one_of(
        st.builds(lambda content: {"role": "user", "content": content}, TEXTS | PARTS),
        st.builds(lambda content: {"role": "system", "content": content}, TEXTS),
        st.builds(
            lambda content, calls, thoughts: {
                "role": "assistant",
                "content": content,
                "tool_calls": calls,
                "state": thoughts,
            },
            TEXTS | st.none(),
            st.lists(CALLS, max_size=3),
            THOUGHTS,
        ),
        st.builds(lambda id, content: {"role": "tool", "tool_call_id": id, "content": content}, IDS, TEXTS | PARTS),
    ),
    max_size=12,
)


@given(CONVERSATIONS)
def test_any_conversation_becomes_a_valid_one(messages: list[dict[str, Any]]) -> None:
    """Turns alternate from user to user, each call has one result right after it, ids are unique, no text is blank."""
    system, found = conversation(messages, CLAUDE)
    assert [turn["role"] for turn in found] == [("user", "assistant")[i % 2] for i in range(len(found))]
    assert len(found) % 2 == 1
    seen: set[str] = set()
    open_calls: list[str] = []
    for turn in found:
        content = turn["content"]
        assert content
        if turn["role"] == "user":
            results = [part["tool_use_id"] for part in content if part["type"] == "tool_result"]
            assert sorted(results) == sorted(open_calls)
            assert all(part["type"] == "tool_result" for part in content[: len(results)])
        open_calls = [part["id"] for part in content if part["type"] == "tool_use"]
        assert len(set(open_calls)) == len(open_calls)
        assert seen.isdisjoint(open_calls)
        seen.update(open_calls)
        for part in content:
            assert part["type"] != "tool_use" or re.fullmatch(r"[a-zA-Z0-9_-]+", part["id"] + part["name"])
            inner = [part, *part["content"]] if isinstance(part.get("content"), list) else [part]
            assert all(one["text"].strip() for one in inner if one["type"] == "text")
        if turn["role"] == "assistant":
            assert {part["type"] for part in content} - {"thinking", "redacted_thinking"}
    assert all(text.strip() for text in system)
    json.dumps(found)


# Sampling, tools, formats.


def test_the_token_limit_is_the_callers_the_models_or_ours() -> None:
    """The API wants one in any case."""
    known = Model(id=CLAUDE, name=CLAUDE, max_tokens=32_000)
    assert body(max_tokens=5, of=known)["max_tokens"] == 5
    assert body(of=known)["max_tokens"] == 32_000
    assert body()["max_tokens"] == DEFAULT_MAX_TOKENS


def test_sampling_fields() -> None:
    """Temperature ends at 1, stops have another name, what has no counterpart stays here."""
    others: dict[str, Any] = {"seed": 7, "presence_penalty": 1, "frequency_penalty": 1, "logit_bias": {"1": 2}}
    sent = body(temperature=1.7, top_p=0.5, stop=["a", "b"], **others)
    assert (sent["temperature"], sent["stop_sequences"]) == (1, ["a", "b"])
    assert not {"top_p", "stop", *others} & set(sent)
    assert body(top_p=0.5, stop="a")["top_p"] == 0.5
    assert body(stop="a")["stop_sequences"] == ["a"]


@pytest.mark.parametrize(
    ("model", "sent"),
    [
        ("claude-3-7-sonnet-20250219", True),
        ("claude-sonnet-4-20250514", True),
        ("claude-opus-4-1-20250805", True),
        ("claude-opus-4-6", True),
        ("MiniMax-M2", True),
        ("claude-opus-4-7", False),
        ("claude-sonnet-5", False),
        ("anthropic/claude-haiku-5.5", False),
        ("claude-mythos-preview", False),
    ],
)
def test_models_that_refuse_a_temperature_get_none(model: str, sent: bool) -> None:
    """Claude 4.7 and later answer a temperature with an error."""
    assert ("temperature" in body(model=model, temperature=0.5)) is sent


@pytest.mark.parametrize(
    ("choice", "parallel", "expected"),
    [
        (None, None, {"type": "auto"}),
        ("auto", False, {"type": "auto", "disable_parallel_tool_use": True}),
        ("required", True, {"type": "any"}),
        ("required", False, {"type": "any", "disable_parallel_tool_use": True}),
        ("none", False, {"type": "none"}),
        ({"type": "function", "function": {"name": "weather"}}, None, {"type": "tool", "name": "weather"}),
    ],
)
def test_tools_and_their_choice(choice: Any, parallel: bool | None, expected: dict[str, Any]) -> None:
    """Each way to choose has its counterpart."""
    sent = body(tools=(WEATHER,), tool_choice=choice, parallel_tool_calls=parallel)
    assert sent["tool_choice"] == expected
    function = WEATHER["function"]
    assert sent["tools"] == [
        {
            "name": "weather",
            "description": function["description"],
            "input_schema": function["parameters"],
            "cache_control": {"type": "ephemeral"},
        }
    ]


def test_a_strict_tool_has_a_closed_schema() -> None:
    """Strictness wants every object closed; a tool without parameters takes an empty object."""
    strict = {"name": "a", "strict": True, "parameters": WEATHER["function"]["parameters"]}
    sent = body(tools=({"type": "function", "function": strict}, {"type": "function", "function": {"name": "b"}}))
    assert sent["tools"][0]["strict"] is True
    assert sent["tools"][0]["input_schema"]["additionalProperties"] is False
    assert sent["tools"][1]["input_schema"] == {"type": "object"}


def test_calls_of_the_past_have_their_tools_declared() -> None:
    """A conversation with calls is valid although the agent has no tools any more."""
    sent = body([*MESSAGES, CALLING, RESULT])
    assert [tool["name"] for tool in sent["tools"]] == ["weather"]
    assert sent["tool_choice"] == {"type": "none"}
    assert "tools" not in body()


def test_structured_output() -> None:
    """A schema is sent with every object closed and nothing else changed; JSON without one is asked for in words."""
    schema = {
        "type": "object",
        "properties": {
            "type": {"type": ["object", "null"], "properties": {}},
            "list": {"type": "array", "items": {"$ref": "#/$defs/a"}, "minItems": 1},
        },
        "$defs": {"a": {"anyOf": [{"type": "object"}, {"enum": [{"type": "object"}]}]}},
    }
    sent = body(response_format={"type": "json_schema", "json_schema": {"name": "x", "strict": True, "schema": schema}})
    assert sent["output_config"]["format"] == {
        "type": "json_schema",
        "schema": {
            "type": "object",
            "properties": {
                "type": {"type": ["object", "null"], "properties": {}, "additionalProperties": False},
                "list": {"type": "array", "items": {"$ref": "#/$defs/a"}, "minItems": 1},
            },
            "$defs": {
                "a": {"anyOf": [{"type": "object", "additionalProperties": False}, {"enum": [{"type": "object"}]}]}
            },
            "additionalProperties": False,
        },
    }
    assert "additionalProperties" not in schema
    assert body(response_format={"type": "json_object"})["system"][0]["text"] == ONLY_JSON
    assert not {"system", "output_config"} & set(body(response_format={"type": "text"}))


def test_breakpoints_of_the_cache() -> None:
    """The ends of tools, system and conversation are marked, and nothing of the caller's is changed."""
    messages = [{"role": "system", "content": "a"}, {"role": "system", "content": "b"}, *MESSAGES, CALLING, RESULT]
    before = json.dumps(messages)
    sent = body(messages, tools=(WEATHER, WEATHER))
    marked = [part for part in (*sent["tools"], *sent["system"]) if "cache_control" in part]
    assert marked == [sent["tools"][-1], sent["system"][-1]]
    assert json.dumps(sent["messages"]).count("cache_control") == 1
    assert "cache_control" in sent["messages"][-1]["content"][-1]
    assert json.dumps(messages) == before


# Thinking.


def effort(model: str, effort: str, messages: Any = MESSAGES, **fields: Any) -> dict[str, Any]:
    thinker = Model(id=model, name=model, reasoning=True)
    return body(messages, model=model, reasoning_effort=effort, of=thinker, **fields)


@pytest.mark.parametrize(
    ("asked_for", "sent"), [("minimal", "low"), ("low", "low"), ("high", "high"), ("xhigh", "xhigh"), ("max", "max")]
)
def test_effort_of_models_that_judge_themselves(asked_for: str, sent: str) -> None:
    """Since Claude 4.6 effort is a word, and the thoughts are asked for in a form that can be shown."""
    found = effort("claude-opus-4-6", asked_for)
    assert found["output_config"] == {"effort": sent}
    assert found["thinking"] == {"type": "adaptive", "display": "summarized"}


def test_no_effort_is_the_lowest_one() -> None:
    """Not every model lets thinking be turned off, so it is made as short as can be."""
    found = effort("claude-opus-5-5", "none")
    assert found["output_config"] == {"effort": "low"}
    assert "thinking" not in found
    assert not {"thinking", "output_config"} & set(effort("claude-sonnet-4-5", "none"))


@pytest.mark.parametrize(
    ("asked_for", "limit", "budget"),
    [("low", 8192, 2048), ("high", 8192, 4096), ("high", 64_000, 16_384), ("low", 1025, 1024), ("low", 1024, None)],
)
def test_effort_of_models_with_a_budget(asked_for: str, limit: int, budget: int | None) -> None:
    """Older models get a number of tokens below the limit, with room for the answer; sampling is theirs then."""
    found = effort("claude-sonnet-4-5-20250929", asked_for, max_tokens=limit, temperature=0.5)
    expected = {"type": "enabled", "budget_tokens": budget} if budget else None
    assert found.get("thinking") == expected
    assert ("temperature" in found) is (budget is None)


def test_effort_of_other_models_is_not_sent() -> None:
    """A model that the configuration doesn't mark as reasoning is asked for none."""
    assert not {"thinking", "output_config"} & set(body(reasoning_effort="high"))


@pytest.mark.parametrize("model", ["claude-opus-4-6", "claude-sonnet-4-5"])
def test_a_forced_tool_leaves_no_room_for_thinking(model: str) -> None:
    """The API refuses both at once, and the tool was demanded."""
    assert "thinking" not in effort(model, "high", tools=(WEATHER,), tool_choice="required")


def test_thinking_does_not_begin_in_the_middle_of_a_turn() -> None:
    """With a budget, a turn whose calls were made without thoughts is ended without them."""
    assert "thinking" not in effort("claude-sonnet-4-5", "high", [*MESSAGES, CALLING, RESULT])
    assert "thinking" in effort("claude-opus-4-6", "high", [*MESSAGES, CALLING, RESULT])


def conversed(provider: ScriptedProvider, *more: dict[str, Any], model: str = CLAUDE) -> list[dict[str, Any]]:
    """The turns of a second call, after a first one that thought, said something and called a tool."""
    provider.enqueue(
        Reply("Let me ", "see.", reasoning=("hm", ", yes"), tool_calls=(ToolCall("toolu_1", "weather", "{}"),))
    )
    last = completed(ask(provider))
    answer = {**CALLING, "content": "Let me see.", "state": json.loads(json.dumps(last.state))}
    ask(provider, asked([*MESSAGES, answer, *more], model=model))
    sent: list[dict[str, Any]] = provider.requests[1].body["messages"]
    return sent


def test_thoughts_go_back_with_their_signature(provider: ScriptedProvider) -> None:
    """Within a turn the model gets its own thoughts back, unchanged and in their place."""
    content = conversed(provider, RESULT)[1]["content"]
    assert [part["type"] for part in content] == ["thinking", "text", "tool_use"]
    assert content[0] == {"type": "thinking", "thinking": "hm, yes", "signature": signature("hm, yes")}


def test_thoughts_go_back_when_the_user_cuts_in(provider: ScriptedProvider) -> None:
    """A word of the user beside the results belongs to the turn that goes on."""
    content = conversed(provider, RESULT, user("make haste"))[1]["content"]
    assert [part["type"] for part in content] == ["thinking", "text", "tool_use"]


def test_thoughts_of_another_model_stay_here(provider: ScriptedProvider) -> None:
    """A signature is worth nothing to another model."""
    content = conversed(provider, RESULT, model="claude-opus-5")[1]["content"]
    assert [part["type"] for part in content] == ["text", "tool_use"]


def test_thoughts_of_earlier_turns_stay_here(provider: ScriptedProvider) -> None:
    """They are bound to a conversation that may have been compacted since."""
    done = {"role": "assistant", "content": "It rains."}
    content = conversed(provider, RESULT, done, user("and tomorrow?"))[1]["content"]
    assert [part["type"] for part in content] == ["text", "tool_use"]


def event(kind: str, **fields: Any) -> bytes:
    return f"event: {kind}\ndata: {json.dumps({'type': kind, **fields})}\n\n".encode()


def start(index: int, **fields: Any) -> bytes:
    return event("content_block_start", index=index, content_block=fields)


def delta(index: int, kind: str, **fields: Any) -> bytes:
    return event("content_block_delta", index=index, delta={"type": kind, **fields})


def stop(index: int) -> bytes:
    return event("content_block_stop", index=index)


BEGIN = event("message_start", message={"usage": {"input_tokens": 1, "output_tokens": 1}})
END = event("message_delta", delta={"stop_reason": "end_turn"}, usage={"output_tokens": 2}) + event("message_stop")


def test_thoughts_keep_their_order(provider: ScriptedProvider) -> None:
    """Thoughts between texts and calls go back between them, redacted and empty ones too, unsigned ones never."""
    provider.default = RawStream(
        BEGIN,
        start(0, type="thinking", thinking="", signature=""),
        delta(0, "signature_delta", signature="a"),
        delta(0, "signature_delta", signature="b"),
        stop(0),
        start(1, type="text", text="one "),
        delta(1, "text_delta", text="two"),
        stop(1),
        start(2, type="redacted_thinking", data="xyz"),
        stop(2),
        start(3, type="thinking", thinking="unsigned"),
        stop(3),
        start(4, type="tool_use", id="toolu_1", name="weather", input={}),
        stop(4),
        END,
    )
    found = ask(provider)
    assert (text_of(found), reasoning_of(found)) == ("one two", "unsigned")
    answer = {**CALLING, "content": "one two", "state": completed(found).state}
    assert turns(*MESSAGES, answer, RESULT)[1]["content"] == [
        {"type": "thinking", "thinking": "", "signature": "ab"},
        block("one two"),
        {"type": "redacted_thinking", "data": "xyz"},
        {"type": "tool_use", "id": "toolu_1", "name": "weather", "input": {"city": "Oslo"}},
    ]


def test_an_answer_without_thoughts_has_no_state(provider: ScriptedProvider) -> None:
    """Nothing is stored for an answer that a message says whole."""
    provider.default = Reply("a", tool_calls=(ToolCall("t", "weather", "{}"),))
    assert completed(ask(provider)).state is None


def test_endless_thoughts_are_not_kept(provider: ScriptedProvider, monkeypatch: pytest.MonkeyPatch) -> None:
    """Beyond the bound the answer counts and its thoughts don't: cut ones would be refused."""
    monkeypatch.setattr(state, "MAX_STATE", 10)
    provider.default = Reply("a", reasoning=("twelve chars",))
    found = ask(provider)
    assert (text_of(found), reasoning_of(found), completed(found).state) == ("a", "twelve chars", None)


# What is read.


def test_an_answer(provider: ScriptedProvider) -> None:
    """Text, thoughts and usage come in their order; what was cached is a part of the prompt."""
    provider.default = Reply("Hello", " world", reasoning=("hm",), usage=scripted.Usage(7, 2, cached=3))
    *found, last = ask(provider)
    assert found == [Began(), ReasoningDelta("hm"), TextDelta("Hello"), TextDelta(" world")]
    assert isinstance(last, Completed)
    assert (last.finish_reason, last.usage) == ("stop", Usage(7, 2, 3, 0))


def test_usage_counts_everything_that_was_read(provider: ScriptedProvider) -> None:
    """Tokens written to the cache are part of the prompt, and the latest count of each kind holds."""
    first = {"input_tokens": 5, "cache_creation_input_tokens": 10, "cache_read_input_tokens": 100, "output_tokens": 1}
    later = {"input_tokens": None, "cache_read_input_tokens": 101, "output_tokens": 40}
    provider.default = RawStream(
        event("message_start", message={"usage": first}),
        event("message_delta", delta={"stop_reason": "end_turn"}, usage=later),
    )
    assert completed(ask(provider)).usage == Usage(116, 40, 101, 10)


def test_tool_calls(provider: ScriptedProvider) -> None:
    """Each call is counted from 0, named once, and its arguments come in fragments; none at all are an empty object."""
    calls = (ToolCall("toolu_1", "weather", '{"city":', '"Oslo"}'), ToolCall("toolu_2", "clock"))
    provider.default = Reply("Let me see.", tool_calls=calls, finish="tool_calls")
    *_, one, two, three, four, five, last = ask(provider)
    assert [one, two, three, four, five] == [
        ToolCallDelta(0, "toolu_1", "weather"),
        ToolCallDelta(0, arguments='{"city":'),
        ToolCallDelta(0, arguments='"Oslo"}'),
        ToolCallDelta(1, "toolu_2", "clock"),
        ToolCallDelta(1, arguments="{}"),
    ]
    assert isinstance(last, Completed)
    assert last.finish_reason == "tool_calls"


def test_a_call_that_comes_whole(provider: ScriptedProvider) -> None:
    """Servers that send the input with the call's beginning, or stop with another reason, are understood."""
    call = start(0, type="tool_use", id="toolu_1", name="weather", input={"city": "Oslo"})
    provider.default = RawStream(BEGIN, call, stop(0), END)
    found = ask(provider)
    assert found[1:3] == [ToolCallDelta(0, "toolu_1", "weather"), ToolCallDelta(0, arguments='{"city":"Oslo"}')]
    assert completed(found).finish_reason == "tool_calls"


@pytest.mark.parametrize(
    ("sent", "read"),
    [
        ("end_turn", "stop"),
        ("stop_sequence", "stop"),
        ("pause_turn", "stop"),
        ("max_tokens", "length"),
        ("model_context_window_exceeded", "length"),
        ("tool_use", "tool_calls"),
        ("refusal", "content_filter"),
        ("something_new", "stop"),
    ],
)
def test_stop_reasons(provider: ScriptedProvider, sent: str, read: str) -> None:
    """Each has its word in the OpenAI shape; an unknown one is a stop."""
    text = start(0, type="text") + delta(0, "text_delta", text="a")
    provider.default = RawStream(BEGIN, text, event("message_delta", delta={"stop_reason": sent}))
    assert completed(ask(provider)).finish_reason == read


def test_what_is_unknown_is_passed_over(provider: ScriptedProvider) -> None:
    """Pings, new events, blocks and deltas don't disturb an answer."""
    provider.default = RawStream(
        event("ping"),
        BEGIN,
        start(0, type="server_tool_use", id="s", name="web_search", input={"q": 1}),
        delta(0, "something_new", a=1),
        stop(0),
        event("something_new"),
        start(1, type="text", text=""),
        delta(1, "text_delta", text=""),
        delta(1, "citations_delta", citation={}),
        delta(1, "text_delta", text="a"),
        stop(1),
        END,
    )
    found = ask(provider)
    assert found[:-1] == [Began(), TextDelta("a")]
    assert completed(found).state is None


# What is refused.


def fault(provider: ScriptedProvider, *steps: Any) -> ProviderError:
    provider.enqueue(*steps)
    with pytest.raises(ProviderError) as raised:
        ask(provider)
    return raised.value


@pytest.mark.parametrize(
    ("status", "kind", "message", "expected"),
    [
        (400, "invalid_request_error", "messages: at least one", ProviderRefused),
        (400, "invalid_request_error", "prompt is too long: 207791 tokens > 200000 maximum", ContextOverflow),
        (413, "request_too_large", "Request exceeds the maximum size", ContextOverflow),
        (400, "invalid_request_error", "Your credit balance is too low to access the API", ProviderOutOfCredit),
        (402, "billing_error", "pay", ProviderOutOfCredit),
        (401, "authentication_error", "invalid x-api-key", ProviderAuthError),
        (429, "rate_limit_error", "slow down", ProviderRateLimit),
        (529, "overloaded_error", "Overloaded", ProviderError),
    ],
)
def test_errors_have_their_kind_before_and_in_a_stream(
    provider: ScriptedProvider, status: int, kind: str, message: str, expected: type[ProviderError]
) -> None:
    """The same refusal means the same, whether it comes as a status or as an event."""
    before = fault(provider, Status(status, message, kind=kind))
    within = fault(provider, ErrorInStream(message, ("a",), kind=kind))
    assert (type(before), type(within)) == (expected, expected)
    assert before.retryable is within.retryable is (expected is ProviderError)


@pytest.mark.parametrize("step", [Empty(), RawStream(b": comment\n\n")])
def test_an_answer_without_any_event(provider: ScriptedProvider, step: Any) -> None:
    """A 200 that holds no event is the provider's fault, and may be tried again."""
    error = fault(provider, step)
    assert "empty answer" in error.message
    assert error.retryable


def test_an_answer_without_its_end(provider: ScriptedProvider) -> None:
    """Text whose server ended the stream in order is an answer, although its stop reason is missing."""
    provider.default = NoFinish("a")
    found = ask(provider)
    assert (text_of(found), completed(found).finish_reason) == ("a", "stop")


@pytest.mark.parametrize(
    "step", [Cut(), Cut(reset=True), Reply(tool_calls=(ToolCall("t", "weather", '{"ci'),), cut=True)]
)
def test_an_answer_that_is_cut(provider: ScriptedProvider, step: Any) -> None:
    """A connection that closes in the middle, be it of a call's arguments, is an error."""
    assert "was cut" in fault(provider, step).message


def test_a_server_that_is_cut_after_its_stop_reason(
    provider: ScriptedProvider, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An answer that is whole is not lost because the server never closes."""
    monkeypatch.setattr(sse, "AFTER_FINISH_TIMEOUT", 0.05)

    class NeverCloses:
        def play(self, exchange: Any) -> None:
            exchange.open_stream()
            exchange.send(BEGIN + event("message_delta", delta={"stop_reason": "end_turn"}))
            exchange.pause(None)

    provider.default = NeverCloses()
    assert completed(ask(provider)).finish_reason == "stop"


@pytest.mark.parametrize(
    "sent",
    [
        b"data: {\n\n",
        b"data: []\n\n",
        event("message_start", message=5),
        start(0, type="tool_use", id=5, name="a"),
        start(0, type="tool_use", id="a"),
        start(0, type="text") + delta(0, "text_delta", text=5),
        event("message_delta", delta={"stop_reason": ["a"]}),
    ],
)
def test_events_of_an_unknown_shape(provider: ScriptedProvider, sent: bytes) -> None:
    """Whatever a provider sends, the fault is told as the provider's."""
    assert fault(provider, RawStream(BEGIN, sent, END)).status == 502


@pytest.mark.parametrize(
    "sent",
    [
        event("message_start"),
        event("message_start", message=None),
        event("content_block_start", index=0),
        event("content_block_start", index=0, content_block=None),
        start(0, text="a"),
        start(0, type="redacted_thinking", data=None),
        start(0, type="thinking", thinking=None, signature=None),
        delta(0, "text_delta"),
        delta(0, "text_delta", text=None),
        delta(1, "thinking_delta", thinking=None),
        delta(1, "signature_delta", signature=None),
        delta(1, "input_json_delta", partial_json=None),
        event("content_block_delta", index=0),
        event("content_block_delta", index=0, delta=None),
        event("message_delta"),
        event("message_delta", delta=None, usage=None),
    ],
)
def test_what_is_null_or_absent_says_nothing(provider: ScriptedProvider, sent: bytes) -> None:
    """Text is whole before and behind an event whose members are missing."""
    text = start(0, type="text") + delta(0, "text_delta", text="a")
    provider.default = RawStream(BEGIN, text, sent, delta(0, "text_delta", text="b"), stop(0), END)
    found = ask(provider)
    assert (text_of(found), completed(found).finish_reason) == ("ab", "stop")


def test_closing_the_iterator_closes_the_connection(provider: ScriptedProvider) -> None:
    """Whoever stops reading stops the model."""
    provider.default = Reply("a", "b", delay=30)
    stream = AnthropicMessages(upstream(provider.base_url), THINKER).stream(asked())
    assert [next(stream), next(stream)] == [Began(), TextDelta("a")]
    stream.close()  # type: ignore[attr-defined]
    assert provider.requests[0].closed.wait(0.5)
