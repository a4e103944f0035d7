"""What the official openai SDK makes of answers that are more than text: refusals, tool calls, the provider's word."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import openai
import pydantic
import pytest

from tests.conftest import StartGateway
from tests.live.gateway import TOKEN, Gateway
from tests.scripted import RawHttp, Reply, ScriptedProvider, ToolCall
from tests.wire.case import chat, chunk, data, stream

HI: Any = [{"role": "user", "content": "hi"}]
REFUSES = RawHttp(chat({"refusal": "I can't "}, {"refusal": "do that."}))
REFUSAL = "I can't do that."


class Weather(pydantic.BaseModel):
    city: str


TOOL: Any = openai.pydantic_function_tool(Weather, name="weather")
NEWS: Any = {"type": "function", "function": {"name": "news"}}
PARIS = ToolCall("call_1", "weather", '{"city"', ':"Paris"}')


@pytest.fixture
def client(gateway: Gateway, provider: ScriptedProvider) -> Iterator[openai.OpenAI]:
    """A client that doesn't retry by itself."""
    with openai.OpenAI(base_url=f"{gateway.url}/v1", api_key=TOKEN, max_retries=0) as client:
        yield client


# Refusals.


def test_a_refusal_is_found_by_parse(client: openai.OpenAI, provider: ScriptedProvider) -> None:
    """parse() gives no object, and the words where it looks for them."""
    provider.enqueue(REFUSES)
    answer = client.chat.completions.parse(model="openclaw", messages=HI, response_format=Weather)
    (choice,) = answer.choices
    assert (choice.message.refusal, choice.message.parsed, choice.message.content) == (REFUSAL, None, None)
    assert choice.finish_reason == "stop"


def test_a_streamed_refusal_is_told_as_one(client: openai.OpenAI, provider: ScriptedProvider) -> None:
    """The helper's events of a refusal come as it is made, and the final message is the same as a whole answer's."""
    provider.enqueue(REFUSES)
    with client.chat.completions.stream(model="openclaw", messages=HI, response_format=Weather) as events:
        told = [event for event in events if event.type.startswith("refusal")]
        message = events.get_final_completion().choices[0].message
    assert [event.delta for event in told if event.type == "refusal.delta"] == ["I can't ", "do that."]
    assert (message.refusal, message.parsed) == (REFUSAL, None)


@pytest.mark.parametrize("streamed", [False, True])
def test_a_refusal_is_sent_back_whole(client: openai.OpenAI, provider: ScriptedProvider, streamed: bool) -> None:
    """The SDK's own message goes back into the session that it came from, which knows it."""
    provider.enqueue(REFUSES)
    user = f"sdk-refused-{streamed}"
    if streamed:
        with client.chat.completions.stream(model="openclaw", messages=HI, user=user) as events:
            message = events.get_final_completion().choices[0].message
    else:
        message = client.chat.completions.create(model="openclaw", messages=HI, user=user).choices[0].message
    sent = [*HI, message, {"role": "user", "content": "why?"}]
    client.chat.completions.create(model="openclaw", messages=sent, user=user)
    _, *conversation = provider.requests[1].body["messages"]
    assert [each["content"] for each in conversation] == ["hi", REFUSAL, "why?"]


# Tool calls.


def test_a_streamed_call_is_told_as_it_was_made(client: openai.OpenAI, provider: ScriptedProvider) -> None:
    """The helper parses its arguments, whole, and finds the call in the final message."""
    provider.enqueue(Reply("I look.", tool_calls=(PARIS,), finish="tool_calls"))
    with client.chat.completions.stream(model="openclaw", messages=HI, tools=[TOOL]) as events:
        done = [event for event in events if event.type == "tool_calls.function.arguments.done"]
        (choice,) = events.get_final_completion().choices
    assert [(event.name, event.arguments, event.parsed_arguments) for event in done] == [
        ("weather", '{"city":"Paris"}', Weather(city="Paris"))
    ]
    assert choice.message.tool_calls is not None
    assert [call.id for call in choice.message.tool_calls] == ["call_1"]
    assert (choice.message.content, choice.finish_reason) == ("I look.", "tool_calls")


@pytest.mark.parametrize("api", ["openai-completions", "anthropic-messages", "openai-responses"])
def test_a_call_that_is_cut_off_is_in_no_stream(
    start_gateway: StartGateway, provider: ScriptedProvider, api: str
) -> None:
    """Whole or streamed, the answer is the text up to there, with the reason: half a call can't be carried out."""
    kind = {"baseUrl": provider.base_url, "apiKey": "k", "api": api, "models": [{"id": "m"}]}
    gateway = start_gateway(models={"providers": {"scripted": kind}})
    half = ToolCall("call_2", "weather", '{"ci')
    provider.enqueue(*[Reply("I look.", tool_calls=(PARIS, half), finish="length")] * 2)
    whole = gateway.chat(tools=[TOOL]).json["choices"][0]
    assert "tool_calls" not in whole["message"]
    assert (whole["message"]["content"], whole["finish_reason"]) == ("I look.", "length")
    deltas = [chunk["choices"][0]["delta"] for chunk in gateway.chat(tools=[TOOL], stream=True).chunks]
    assert not any("tool_calls" in delta for delta in deltas)
    assert "".join(delta.get("content", "") for delta in deltas) == "I look."


@pytest.mark.parametrize("streamed", [False, True])
def test_a_call_without_arguments_has_an_empty_object(
    client: openai.OpenAI, provider: ScriptedProvider, streamed: bool
) -> None:
    """json.loads() of what a client gets never fails on nothing."""
    provider.enqueue(Reply(tool_calls=(ToolCall("call_1", "news"),), finish="tool_calls"))
    if streamed:
        with client.chat.completions.stream(model="openclaw", messages=HI, tools=[NEWS]) as events:
            message: Any = events.get_final_completion().choices[0].message
    else:
        message = client.chat.completions.create(model="openclaw", messages=HI, tools=[NEWS]).choices[0].message
    assert message.tool_calls[0].function.arguments == "{}"


# What the provider tells.


def test_what_the_provider_tells_of_its_answer(client: openai.OpenAI, provider: ScriptedProvider) -> None:
    """Reasoning tokens, written cache, tier and fingerprint are the SDK's own fields, streamed or not."""
    usage = {
        "prompt_tokens": 11,
        "completion_tokens": 5,
        "prompt_tokens_details": {"cached_tokens": 3, "cache_write_tokens": 2},
        "completion_tokens_details": {"reasoning_tokens": 4},
    }
    last = {**chunk({}, "stop"), "service_tier": "flex", "system_fingerprint": "fp_1"}
    events = data(chunk({"content": "Hello"}), last, {**chunk(), "choices": [], "usage": usage})
    provider.enqueue(*[RawHttp(stream(events))] * 2)
    answer: Any = client.chat.completions.create(model="openclaw", messages=HI)
    *_, finish, counted = client.chat.completions.create(
        model="openclaw", messages=HI, stream=True, stream_options={"include_usage": True}
    )
    for told in (answer, finish, counted):
        assert (told.service_tier, told.system_fingerprint) == ("flex", "fp_1")
    for used in (answer.usage, counted.usage):
        assert used is not None
        assert used.completion_tokens_details.reasoning_tokens == 4
        assert (used.prompt_tokens_details.cached_tokens, used.prompt_tokens_details.cache_write_tokens) == (3, 2)
