"""The Responses wire format: what a conversation becomes there, and what is read of every kind of answer."""

from __future__ import annotations

import json
import time
from typing import Any

import pytest
from openai.types.responses.response_create_params import ResponseCreateParamsStreaming
from pydantic import TypeAdapter

from app.config.settings import Model
from app.errors import ContextOverflow, ProviderError, ProviderOutOfCredit, ProviderRateLimit, ProviderRefused
from app.providers.openai_responses import OpenAIResponses
from app.providers.request_fields import taken
from app.providers.responses_request import API, payload
from app.providers.stream import (
    Began,
    Completed,
    Delta,
    ModelCall,
    ReasoningDelta,
    RefusalDelta,
    TextDelta,
    ToolCallDelta,
    Usage,
)
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

PLAIN = Model(id="m", name="m")
THINKER = Model(id="m", name="m", reasoning=True)
PARAMETERS = {"type": "object", "properties": {"city": {"type": "string"}}}
WEATHER = {"type": "function", "function": {"name": "weather", "description": "Weather", "parameters": PARAMETERS}}
CALL = {"id": "call_1", "type": "function", "function": {"name": "weather", "arguments": '{"city":"Oslo"}'}}
CALLING = {"role": "assistant", "content": None, "tool_calls": [CALL]}
RESULT = {"role": "tool", "tool_call_id": "call_1", "content": "rain"}
# What OpenAI's own library takes for a request.
SHAPE: TypeAdapter[Any] = TypeAdapter(ResponseCreateParamsStreaming)


def asked(messages: Any = MESSAGES, model: str = "m", **fields: Any) -> ModelCall:
    known = {name: fields.pop(name) for name in ("tools", "tool_choice") if name in fields}
    return ModelCall(model=model, messages=messages, deadline=time.monotonic() + 60, sampling=fields, **known)


def body(messages: Any = MESSAGES, *, of: Model = PLAIN, **fields: Any) -> dict[str, Any]:
    sent: dict[str, Any] = json.loads(
        json.dumps(payload(asked(messages, **fields), of, "scripted/m", taken(API, openai=False), by_key=False))
    )
    SHAPE.validate_python(sent)
    return sent


def ask(provider: ScriptedProvider, call: ModelCall | None = None, model: Model = THINKER) -> list[Delta]:
    """All deltas of one answer, over a connection of its own."""
    connections = upstream(provider.base_url)
    try:
        return collected(OpenAIResponses(connections, model).stream(call or asked()))
    finally:
        connections.close()


# What is asked.


def test_the_request(provider: ScriptedProvider) -> None:
    """It goes to /responses, streams, and lets nothing be stored."""
    ask(provider, model=PLAIN)
    received = provider.requests[0]
    assert (received.path, received.api) == ("/v1/responses", "openai-responses")
    assert received.body == {
        "model": "m",
        "input": [{"type": "message", "role": "user", "content": [{"type": "input_text", "text": "hi"}]}],
        "stream": True,
        "store": False,
    }


def test_a_conversation_becomes_items() -> None:
    """Instructions stand beside; messages, calls and results are items in their order."""
    image = {"type": "image_url", "image_url": {"url": "https://example.com/a.png", "detail": "low"}}
    parts = [{"type": "text", "text": "see"}, image]
    sent = body(
        [
            {"role": "system", "content": "Be kind."},
            {"role": "developer", "content": [{"type": "text", "text": "Be short."}]},
            {"role": "user", "content": parts},
            {**CALLING, "content": "Let me see."},
            RESULT,
            {**RESULT, "content": parts},
            {"role": "assistant", "content": "It rains."},
        ]
    )
    seen = [
        {"type": "input_text", "text": "see"},
        {"type": "input_image", "image_url": "https://example.com/a.png", "detail": "low"},
    ]
    assert sent["instructions"] == "Be kind.\n\nBe short."
    assert sent["input"] == [
        {"type": "message", "role": "user", "content": seen},
        {"type": "message", "role": "assistant", "content": "Let me see."},
        {"type": "function_call", "call_id": "call_1", "name": "weather", "arguments": '{"city":"Oslo"}'},
        {"type": "function_call_output", "call_id": "call_1", "output": "rain"},
        {"type": "function_call_output", "call_id": "call_1", "output": seen},
        {"type": "message", "role": "assistant", "content": "It rains."},
    ]


def test_content_of_an_unknown_kind_is_refused() -> None:
    """What the format has no part for is an error that says so, not a silent loss."""
    with pytest.raises(ProviderRefused, match="input_audio"):
        body([{"role": "user", "content": [{"type": "input_audio", "input_audio": {}}]}])


def test_sampling_fields() -> None:
    """The limit has another name, what has no counterpart stays here."""
    others: dict[str, Any] = {
        "seed": 7,
        "presence_penalty": 1,
        "frequency_penalty": 1,
        "logit_bias": {"1": 2},
        "stop": ["a"],
    }
    sent = body(temperature=1.7, top_p=0.5, max_tokens=50, **others)
    assert (sent["temperature"], sent["top_p"], sent["max_output_tokens"]) == (1.7, 0.5, 50)
    assert not {"max_tokens", *others} & set(sent)


@pytest.mark.parametrize(
    ("choice", "expected"),
    [
        ("none", "none"),
        ("auto", "auto"),
        ("required", "required"),
        ({"type": "function", "function": {"name": "weather"}}, {"type": "function", "name": "weather"}),
    ],
)
def test_tools_are_flat(choice: Any, expected: Any) -> None:
    """A tool says whether it is strict, because there it would be by default."""
    bare = {"type": "function", "function": {"name": "clock", "strict": True}}
    sent = body(tools=(WEATHER, bare), tool_choice=choice, parallel_tool_calls=False)
    assert sent["tools"] == [
        {"type": "function", "name": "weather", "description": "Weather", "parameters": PARAMETERS, "strict": False},
        {"type": "function", "name": "clock", "parameters": {"type": "object", "properties": {}}, "strict": True},
    ]
    assert (sent["tool_choice"], sent["parallel_tool_calls"]) == (expected, False)


def test_without_tools_there_is_no_word_of_them() -> None:
    """A choice among no tools would be refused."""
    assert not {"tools", "tool_choice", "parallel_tool_calls"} & set(body(tool_choice="auto", parallel_tool_calls=True))


@pytest.mark.parametrize(
    ("form", "expected"),
    [
        ({"type": "json_object"}, {"format": {"type": "json_object"}}),
        (
            {"type": "json_schema", "json_schema": {"name": "x", "strict": True, "schema": PARAMETERS}},
            {"format": {"type": "json_schema", "name": "x", "strict": True, "schema": PARAMETERS}},
        ),
        ({"type": "text"}, None),
    ],
)
def test_structured_output(form: dict[str, Any], expected: Any) -> None:
    """The format of the text is flat there."""
    assert body(response_format=form).get("text") == expected


def test_reasoning_is_asked_for_where_it_is_known() -> None:
    """Models marked as reasoning give a summary and their encrypted thoughts; effort is the caller's word for any."""
    sent = body(of=THINKER, reasoning_effort="high")
    assert sent["reasoning"] == {"effort": "high", "summary": "auto"}
    assert sent["include"] == ["reasoning.encrypted_content"]
    assert body(reasoning_effort="low")["reasoning"] == {"effort": "low"}
    assert not {"reasoning", "include"} & set(body())


def conversed(provider: ScriptedProvider, model: str = "m", of: Model = THINKER) -> list[dict[str, Any]]:
    """The input of a second call, after a first one that thought, said something and called a tool."""
    provider.enqueue(Reply("Let me ", "see.", reasoning=("hm",), tool_calls=(ToolCall("call_1", "weather", "{}"),)))
    last = completed(ask(provider, model=of))
    answer = {**CALLING, "content": "Let me see.", "state": json.loads(json.dumps(last.state))}
    ask(provider, asked([*MESSAGES, answer, RESULT], model=model))
    sent: list[dict[str, Any]] = provider.requests[1].body["input"]
    SHAPE.validate_python(provider.requests[1].body)
    return sent


def test_thoughts_go_back_encrypted(provider: ScriptedProvider) -> None:
    """The model gets its own thoughts back, unchanged and in their place."""
    sent = conversed(provider)
    assert [item["type"] for item in sent] == [
        "message",
        "reasoning",
        "message",
        "function_call",
        "function_call_output",
    ]
    assert sent[1] == {
        "type": "reasoning",
        "id": "rs_0",
        "summary": [{"type": "summary_text", "text": "hm"}],
        "encrypted_content": signature("hm"),
    }


def test_thoughts_of_another_model_stay_here(provider: ScriptedProvider) -> None:
    """Another model can't read them."""
    assert "reasoning" not in {item["type"] for item in conversed(provider, model="other")}


def test_thoughts_that_are_only_a_name_stay_here(provider: ScriptedProvider) -> None:
    """Without its encrypted content an item would name something that nobody stored."""
    assert "reasoning" not in {item["type"] for item in conversed(provider, of=PLAIN)}


# What is read.


def event(kind: str, **fields: Any) -> bytes:
    return f"event: {kind}\ndata: {json.dumps({'type': kind, **fields})}\n\n".encode()


def item(state: str, index: int, **fields: Any) -> bytes:
    return event(f"response.output_item.{state}", output_index=index, item=fields)


BEGIN = event("response.created", response={"status": "in_progress"})
END = event("response.completed", response={"status": "completed"})


def test_an_answer(provider: ScriptedProvider) -> None:
    """Text, summaries of thoughts and usage come in their order."""
    provider.default = Reply("Hello", " world", reasoning=("hm",), usage=scripted.Usage(7, 2, cached=3))
    *found, last = ask(provider)
    assert found == [Began(), ReasoningDelta("hm"), TextDelta("Hello"), TextDelta(" world")]
    assert isinstance(last, Completed)
    assert (last.finish_reason, last.usage) == ("stop", Usage(7, 2, 3))


@pytest.mark.parametrize("usage", [None, {}, {"input_tokens": "7", "input_tokens_details": None, "output_tokens": -1}])
def test_usage_of_an_odd_shape_counts_nothing(provider: ScriptedProvider, usage: Any) -> None:
    """What can't be summed is left out, and the answer is still an answer."""
    provider.default = RawStream(BEGIN, event("response.completed", response={"usage": usage}))
    assert completed(ask(provider)).usage == Usage()


def test_tool_calls(provider: ScriptedProvider) -> None:
    """Each call is counted from 0 and known by its call id; its arguments come in fragments."""
    calls = (ToolCall("call_1", "weather", '{"city":', '"Oslo"}'), ToolCall("call_2", "clock"))
    provider.default = Reply("Let me see.", tool_calls=calls)
    *_, one, two, three, four, five, last = ask(provider)
    assert [one, two, three, four, five] == [
        ToolCallDelta(0, "call_1", "weather"),
        ToolCallDelta(0, arguments='{"city":'),
        ToolCallDelta(0, arguments='"Oslo"}'),
        ToolCallDelta(1, "call_2", "clock"),
        ToolCallDelta(1, arguments="{}"),
    ]
    assert isinstance(last, Completed)
    assert last.finish_reason == "tool_calls"


def test_a_call_that_comes_whole(provider: ScriptedProvider) -> None:
    """Servers that send nothing but the finished item are understood."""
    call = {"type": "function_call", "id": "fc", "call_id": "call_1", "name": "weather", "arguments": '{"a":1}'}
    provider.default = RawStream(BEGIN, item("done", 0, **call), END)
    assert ask(provider)[1:3] == [ToolCallDelta(0, "call_1", "weather"), ToolCallDelta(0, arguments='{"a":1}')]


def test_a_refusal_is_what_the_model_says(provider: ScriptedProvider) -> None:
    """Its words reach the caller as a refusal; summaries of several parts are told apart."""
    provider.default = RawStream(
        BEGIN,
        event("response.reasoning_summary_part.added", summary_index=0),
        event("response.reasoning_summary_text.delta", delta="one"),
        event("response.reasoning_summary_part.added", summary_index=1),
        event("response.reasoning_summary_text.delta", delta="two"),
        event("response.refusal.delta", delta="I can't."),
        END,
    )
    found = ask(provider)
    assert [delta for delta in found if isinstance(delta, RefusalDelta)] == [RefusalDelta("I can't.")]
    assert (text_of(found), reasoning_of(found)) == ("", "one\n\ntwo")


def test_the_phase_of_a_message_goes_back(provider: ScriptedProvider) -> None:
    """Models that tell comments from answers want to be told again which is which."""
    said = [{"type": "output_text", "text": "Let me"}]
    provider.default = RawStream(
        BEGIN,
        event("response.output_text.delta", delta="Let me"),
        item("done", 0, type="message", content=said, phase="commentary"),
        event("response.output_text.delta", delta=" see."),
        item("done", 1, type="message", content=[{"type": "output_text", "text": " see."}]),
        END,
    )
    state = completed(ask(provider)).state
    sent = body([*MESSAGES, {"role": "assistant", "content": "Let me see.", "state": state}])["input"]
    assert [(part["content"], part.get("phase")) for part in sent[1:]] == [
        ("Let me", "commentary"),
        (" see.", None),
    ]


@pytest.mark.parametrize(
    ("reason", "read"),
    [("max_output_tokens", "length"), ("content_filter", "content_filter"), ("max_messages", "length")],
)
def test_an_incomplete_answer(provider: ScriptedProvider, reason: str, read: str) -> None:
    """Why it is incomplete is its finish reason."""
    response = {"status": "incomplete", "incomplete_details": {"reason": reason}}
    provider.default = RawStream(BEGIN, event("response.incomplete", response=response))
    assert completed(ask(provider)).finish_reason == read


def test_what_is_unknown_is_passed_over(provider: ScriptedProvider) -> None:
    """New events and items don't disturb an answer."""
    provider.default = RawStream(
        BEGIN, event("something_new"), item("added", 0, type="web_search_call"), item("done", 0, type="new"), END
    )
    assert ask(provider) == [Began(), Completed("stop", Usage())]


# What is refused.


def fault(provider: ScriptedProvider, *steps: Any) -> ProviderError:
    provider.enqueue(*steps)
    with pytest.raises(ProviderError) as raised:
        ask(provider)
    return raised.value


@pytest.mark.parametrize(
    ("code", "message", "expected"),
    [
        ("server_error", "broke", ProviderError),
        ("rate_limit_exceeded", "slow down", ProviderRateLimit),
        ("insufficient_quota", "pay", ProviderOutOfCredit),
        ("context_length_exceeded", "Your input exceeds the context window of this model", ContextOverflow),
        ("invalid_prompt", "not that", ProviderRefused),
        ("image_too_large", "too many pixels", ProviderRefused),
        ("bio_policy", "not that", ProviderRefused),
    ],
)
def test_errors_keep_their_kind(
    provider: ScriptedProvider, code: str, message: str, expected: type[ProviderError]
) -> None:
    """Whether as an event, an event with an object in it, or a failed response: the same fault."""
    error = {"code": code, "message": message}
    found = [
        fault(provider, ErrorInStream(message, ("a",), kind=code)),
        fault(provider, RawStream(BEGIN, event("error", error=error))),
        fault(provider, RawStream(BEGIN, event("response.failed", response={"status": "failed", "error": error}))),
    ]
    assert {type(each) for each in found} == {expected}
    assert message in found[0].message


def test_a_status_is_an_error(provider: ScriptedProvider) -> None:
    """A refusal before the stream is told in the provider's words."""
    assert fault(provider, Status(400, "no such thing")).message == "no such thing"


@pytest.mark.parametrize("step", [Empty(), RawStream(b": comment\n\n")])
def test_an_answer_without_any_event(provider: ScriptedProvider, step: Any) -> None:
    """A 200 that holds no event is the provider's fault, and may be tried again."""
    error = fault(provider, step)
    assert "empty answer" in error.message
    assert error.retryable


def test_an_answer_without_its_end(provider: ScriptedProvider) -> None:
    """Text whose server ended the stream in order is an answer, although the event that completes it is missing."""
    provider.default = NoFinish("a")
    found = ask(provider)
    assert (text_of(found), completed(found).finish_reason) == ("a", "stop")


@pytest.mark.parametrize(
    "step", [Cut(), Cut(reset=True), Reply(tool_calls=(ToolCall("t", "weather", '{"ci'),), cut=True)]
)
def test_an_answer_that_is_cut(provider: ScriptedProvider, step: Any) -> None:
    """A connection that closes in the middle, be it of a call's arguments, is an error."""
    assert "was cut" in fault(provider, step).message


@pytest.mark.parametrize(
    "sent",
    [
        b"data: {\n\n",
        b"data: 5\n\n",
        event("response.output_text.delta", delta=5),
        event("response.function_call_arguments.delta", output_index=3, delta="{}"),
        item("added", 0, type="function_call", call_id=5, name="a"),
        item("added", 0, type="function_call", call_id="a"),
        item("done", 0, type="reasoning", id="a", encrypted_content=5),
        item("done", 0, type="message", content=[5]),
        event("response.completed", response=5),
        event("response.failed"),
    ],
)
def test_events_of_an_unknown_shape(provider: ScriptedProvider, sent: bytes) -> None:
    """Whatever a provider sends, the fault is told as the provider's."""
    assert fault(provider, RawStream(BEGIN, sent, END)).status == 502


@pytest.mark.parametrize(
    "sent",
    [
        event("response.created", response=None),
        event("response.output_text.delta"),
        event("response.output_text.delta", output_index=0, delta=None),
        event("response.output_text.done", output_index=0, text=None),
        event("response.refusal.delta", output_index=0, delta=None),
        event("response.reasoning_summary_text.delta", output_index=1, delta=None),
        event("response.function_call_arguments.delta", output_index=1, delta=None),
        event("response.output_item.added", output_index=1),
        event("response.output_item.added", output_index=1, item=None),
        event("response.output_item.done", output_index=1, item=None),
        item("done", 1, type="message", content=None),
        item("done", 1, type="message", content=[None]),
        item("done", 1, id="a"),
        event("response.content_part.added", output_index=0, part=None),
    ],
)
@pytest.mark.parametrize("end", [END, event("response.completed"), event("response.completed", response=None)])
def test_what_is_null_or_absent_says_nothing(provider: ScriptedProvider, sent: bytes, end: bytes) -> None:
    """Text is whole before and behind an event whose members are missing."""
    text = [event("response.output_text.delta", output_index=0, delta=delta) for delta in "ab"]
    provider.default = RawStream(BEGIN, text[0], sent, text[1], end)
    found = ask(provider)
    assert (text_of(found), completed(found).finish_reason) == ("ab", "stop")


def test_closing_the_iterator_closes_the_connection(provider: ScriptedProvider) -> None:
    """Whoever stops reading stops the model."""
    provider.default = Reply("a", "b", delay=30)
    stream = OpenAIResponses(upstream(provider.base_url), PLAIN).stream(asked())
    assert [next(stream), next(stream)] == [Began(), TextDelta("a")]
    stream.close()  # type: ignore[attr-defined]
    assert provider.requests[0].closed.wait(0.5)
