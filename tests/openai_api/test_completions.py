"""How runs are rendered: whole answers, chunks, and the ends of streams."""

from __future__ import annotations

import json
from types import SimpleNamespace
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from openai.lib.streaming.chat import ChatCompletionStreamState
from openai.types.chat import ChatCompletion, ChatCompletionChunk

from app.agents.answer import Answer
from app.agents.events import Ended
from app.errors import InternalError, ProviderRateLimit
from app.openai_api.completions import DONE, KEEP_ALIVE, Chunks, completion, usage_of
from app.providers.stream import ToolCallDelta, Usage

# What a provider's JSON can hold after lone surrogates were replaced.
TEXT = st.text(st.characters(exclude_categories=["Cs"]))
USAGE = Usage(7, 2, 3)
USAGE_SHOWN = {
    "prompt_tokens": 7,
    "completion_tokens": 2,
    "total_tokens": 9,
    "prompt_tokens_details": {"cached_tokens": 3},
}


CALLS = [
    {"id": "c1", "type": "function", "function": {"name": "f", "arguments": '{"a":1}'}},
    {"id": "c2", "type": "function", "function": {"name": "g", "arguments": "{}"}},
]


def run(*parts: str, metadata: Any = None, **said: Any) -> Any:
    """said: what else the answer has, by its names."""
    given = {name: list(value) if isinstance(value, tuple) else value for name, value in said.items()}
    answer = Answer(parts=list(parts), **given)
    return SimpleNamespace(id="run-1", answer=answer, turn=SimpleNamespace(metadata=metadata))


def chunks(model: str = "openclaw", *, include_usage: bool = False, **said: Any) -> Chunks:
    return Chunks(run(**said), model, include_usage=include_usage)


def parsed(rendered: bytes) -> list[Any]:
    """The events of rendered bytes, which must be whole ones, ``[DONE]`` as text."""
    assert rendered.endswith(b"\n\n")
    lines = rendered.decode()[:-2].split("\n\n")
    assert all(line.startswith("data: ") and "\n" not in line and "\r" not in line for line in lines)
    return [line[6:] if line == "data: [DONE]" else json.loads(line[6:]) for line in lines]


def common(model: str, created: int) -> dict[str, Any]:
    return {"id": "chatcmpl_run-1", "object": "chat.completion.chunk", "created": created, "model": model}


@settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(TEXT, TEXT, st.booleans())
def test_a_chunk_is_one_event_whatever_the_text(model: str, text: str, include_usage: bool) -> None:
    """Any text and any model name give valid JSON on one line, and come back as they were."""
    rendering = chunks(model, include_usage=include_usage)
    for rendered, delta in (
        (rendering.role(), {"role": "assistant", "content": ""}),
        (rendering.text(text), {"content": text}),
        (rendering.reasoning(text), {"reasoning_content": text}),
        (rendering.refusal(text), {"refusal": text}),
    ):
        (event,) = parsed(rendered)
        choice = {"index": 0, "delta": delta, "finish_reason": None, "logprobs": None}
        expected = common(model, event["created"]) | {"choices": [choice]}
        assert event == expected | ({"usage": None} if include_usage else {})


def test_chunks_of_a_stream_have_one_head() -> None:
    """Id, time and model are the same from the first chunk to the last."""
    rendering = chunks(include_usage=True)
    events = parsed(rendering.role() + rendering.text("a") + rendering.end(Ended("stop", USAGE)))
    heads = [{key: event[key] for key in ("id", "object", "created", "model")} for event in events[:-1]]
    assert heads == [heads[0]] * 4


@pytest.mark.parametrize("reason", ["stop", "length", "tool_calls", "content_filter"])
def test_the_end_without_usage(reason: str) -> None:
    """An empty delta with the finish reason, then [DONE]."""
    finish, done = parsed(chunks().end(Ended(reason, USAGE)))
    assert finish["choices"] == [{"index": 0, "delta": {}, "finish_reason": reason, "logprobs": None}]
    assert "usage" not in finish
    assert done == "[DONE]"


def test_the_end_with_usage() -> None:
    """The usage comes in a chunk of its own without choices, after the finish reason; every other has null."""
    finish, usage, done = parsed(chunks(include_usage=True).end(Ended("stop", USAGE)))
    assert finish["usage"] is None
    assert (usage["choices"], usage["usage"]) == ([], USAGE_SHOWN)
    assert done == "[DONE]"


@pytest.mark.parametrize("include_usage", [False, True])
def test_the_end_of_a_failed_run(include_usage: bool) -> None:
    """The error's envelope and [DONE]: no finish reason, no usage."""
    error = ProviderRateLimit("slow down \x00 \u2028", headers={"Retry-After": "7"})
    event, done = parsed(chunks(include_usage=include_usage).end(Ended(None, USAGE, error)))
    assert event == error.envelope()
    assert done == "[DONE]"


def test_an_internal_error_in_a_stream_has_its_request_id() -> None:
    """A caller can name it to the operator."""
    event, _ = parsed(chunks().end(Ended(None, USAGE, InternalError("req-1"))))
    assert event["error"]["message"] == "internal error (request id req-1)"


def test_a_comment_is_no_event() -> None:
    """What shows life can't be taken for data."""
    assert KEEP_ALIVE.startswith(b":")
    assert KEEP_ALIVE.endswith(b"\n\n")
    assert DONE == b"data: [DONE]\n\n"


@settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(TEXT, st.lists(TEXT, max_size=4))
def test_a_whole_answer(model: str, parts: list[str]) -> None:
    """The tokens are joined, with the real usage and every member that the API documents."""
    body = json.loads(completion(run(*parts), model, Ended("stop", USAGE), reasoning=False))
    assert body == {
        "id": "chatcmpl_run-1",
        "object": "chat.completion",
        "created": body["created"],
        "model": model,
        "choices": [
            {
                "index": 0,
                "message": {"role": "assistant", "content": "".join(parts), "refusal": None},
                "finish_reason": "stop",
                "logprobs": None,
            }
        ],
        "usage": USAGE_SHOWN,
    }


@pytest.mark.parametrize(("shown", "expected"), [(True, "hm, yes"), (False, None)])
def test_reasoning_is_shown_only_when_asked_for(shown: bool, expected: str | None) -> None:
    """Without the config's word it isn't there; with it, whole."""
    body = json.loads(completion(run("a", reasoning=("hm", ", yes")), "m", Ended("stop", USAGE), reasoning=shown))
    assert body["choices"][0]["message"].get("reasoning_content") == expected


def test_no_reasoning_is_no_member() -> None:
    """An answer without reasoning has no empty field for it."""
    body = json.loads(completion(run("a"), "m", Ended("stop", USAGE), reasoning=True))
    assert "reasoning_content" not in body["choices"][0]["message"]


# Tool calls.


@pytest.mark.parametrize(("parts", "content"), [((), None), (("Let me ", "see."), "Let me see.")])
def test_a_whole_answer_with_tool_calls(parts: tuple[str, ...], content: str | None) -> None:
    """The calls stand in the message, beside the text or null, and the SDK's own type takes it."""
    body = completion(run(*parts, calls=CALLS), "m", Ended("tool_calls", USAGE), reasoning=False)
    (choice,) = json.loads(body)["choices"]
    assert choice["message"] == {"role": "assistant", "content": content, "refusal": None, "tool_calls": CALLS}
    parsed_by_sdk = ChatCompletion.model_validate_json(body, strict=True).choices[0]
    assert parsed_by_sdk.finish_reason == "tool_calls"
    assert [call.to_dict() for call in parsed_by_sdk.message.tool_calls or ()] == CALLS


def test_an_answer_without_calls_has_no_member_for_them() -> None:
    """An empty text is a text, and no calls are none, not an empty list."""
    (choice,) = json.loads(completion(run(), "m", Ended("stop", USAGE), reasoning=False))["choices"]
    assert choice["message"] == {"role": "assistant", "content": "", "refusal": None}


PARTS = [
    ToolCallDelta(0, "c1", "f"),
    ToolCallDelta(0, arguments='{"a"'),
    ToolCallDelta(0, arguments=":1}"),
    ToolCallDelta(1, "c2", "g", "{}"),
]


def test_the_parts_of_a_tool_call() -> None:
    """The first one has index, id, type and name, the others index and arguments alone, as OpenAI sends them."""
    deltas = [parsed(chunks().tool_call(part))[0]["choices"][0] for part in PARTS]
    assert [choice.pop("delta") for choice in deltas] == [
        {"tool_calls": [{"index": 0, "id": "c1", "type": "function", "function": {"name": "f", "arguments": ""}}]},
        {"tool_calls": [{"index": 0, "function": {"arguments": '{"a"'}}]},
        {"tool_calls": [{"index": 0, "function": {"arguments": ":1}"}}]},
        {"tool_calls": [{"index": 1, "id": "c2", "type": "function", "function": {"name": "g", "arguments": "{}"}}]},
    ]
    assert deltas == [{"index": 0, "finish_reason": None, "logprobs": None}] * 4


def test_the_sdk_puts_a_streamed_answer_together() -> None:
    """Every chunk of a whole stream is valid for the SDK, and its calls are the very ones that were made."""
    rendering = chunks(include_usage=True)
    stream = rendering.role() + rendering.reasoning("hm") + rendering.text("Let me see.")
    stream += b"".join(map(rendering.tool_call, PARTS)) + rendering.end(Ended("tool_calls", USAGE))
    *events, done = parsed(stream)
    state: Any = ChatCompletionStreamState()
    for event in events:
        state.handle_chunk(ChatCompletionChunk.model_validate(event, strict=True))
    whole = state.get_final_completion()
    (choice,) = whole.choices
    assert (choice.finish_reason, choice.message.content) == ("tool_calls", "Let me see.")
    made = [(call.id, call.function.name, call.function.arguments) for call in choice.message.tool_calls]
    assert made == [("c1", "f", '{"a":1}'), ("c2", "g", "{}")]
    assert whole.usage.total_tokens == 9
    assert done == "[DONE]"


@settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(TEXT, st.text(st.characters(exclude_categories=["Cs"]), min_size=1), TEXT)
def test_any_tool_call_is_one_event(id: str, name: str, arguments: str) -> None:
    """Whatever a model writes as a name or arguments comes back as it was."""
    (event,) = parsed(chunks().tool_call(ToolCallDelta(3, id, name, arguments)))
    assert event["choices"][0]["delta"]["tool_calls"] == [
        {"index": 3, "id": id, "type": "function", "function": {"name": name, "arguments": arguments}}
    ]


def test_usage() -> None:
    """The total is the sum."""
    assert usage_of(USAGE) == USAGE_SHOWN
    assert usage_of(Usage())["total_tokens"] == 0


def test_what_usage_is_made_of() -> None:
    """What a provider told of it stands there by the API's names, a zero too, and what none told is absent."""
    shown = usage_of(Usage(7, 2, 3, 0, {"reasoning_tokens": 1, "audio_tokens": 0}))
    assert shown == {
        **USAGE_SHOWN,
        "prompt_tokens_details": {"cached_tokens": 3, "cache_write_tokens": 0},
        "completion_tokens_details": {"reasoning_tokens": 1, "audio_tokens": 0},
    }


# Refusals.


@pytest.mark.parametrize(("parts", "content"), [((), None), (("Hm.", "\n\n"), "Hm.\n\n")])
def test_a_refusal_stands_where_the_sdk_looks_for_it(parts: tuple[str, ...], content: str | None) -> None:
    """Beside the text, or null in its place; an answer that refuses nothing has null there."""
    body = completion(run(*parts, refusal=("I ", "can't.")), "m", Ended("stop", USAGE), reasoning=False)
    (choice,) = ChatCompletion.model_validate_json(body, strict=True).choices
    assert (choice.message.refusal, choice.message.content, choice.finish_reason) == ("I can't.", content, "stop")


def test_the_sdk_puts_a_streamed_refusal_together() -> None:
    """Its pieces are one refusal, and no content."""
    rendering = chunks(include_usage=True)
    stream = rendering.role() + rendering.refusal("I ") + rendering.refusal("can't.")
    *events, _ = parsed(stream + rendering.end(Ended("stop", USAGE)))
    state: Any = ChatCompletionStreamState()
    for event in events:
        state.handle_chunk(ChatCompletionChunk.model_validate(event, strict=True))
    message = state.get_final_completion().choices[0].message
    assert (message.refusal, message.content or None) == ("I can't.", None)


# What the provider tells of itself.

TOLD = {"service_tier": "flex", "system_fingerprint": "fp_1"}


def test_tier_and_fingerprint() -> None:
    """They stand in a whole answer, and in the last chunks of a stream: before, nobody knows them."""
    said: Any = {"service_tiers": {"flex"}, "fingerprint": "fp_1"}
    whole = json.loads(completion(run("a", **said), "m", Ended("stop", USAGE), reasoning=False))
    assert {name: whole.get(name) for name in TOLD} == TOLD
    rendering = chunks(include_usage=True, **said)
    *before, finish, usage, _ = parsed(rendering.role() + rendering.text("a") + rendering.end(Ended("stop", USAGE)))
    assert [{name: event.get(name) for name in TOLD} for event in (finish, usage)] == [TOLD, TOLD]
    assert not any(name in event for event in before for name in TOLD)
    assert ChatCompletionChunk.model_validate(finish, strict=True).service_tier == "flex"


def test_what_no_provider_told_is_absent() -> None:
    """No null stands for it, neither where calls disagree nor where none told."""
    for said in ({}, {"service_tiers": {"flex", "default"}}, {"service_tiers": {None}}):
        whole = completion(run("a", **said), "m", Ended("stop", USAGE), reasoning=False)
        stream = chunks(include_usage=True, **said).end(Ended("stop", USAGE))
        assert not any(name.encode() in part for name in (*TOLD, "metadata") for part in (whole, stream))


@pytest.mark.parametrize("metadata", [{}, {"ticket": "42 \u2028"}])
def test_metadata_comes_back(metadata: dict[str, str]) -> None:
    """In a whole answer, as it was sent."""
    body = completion(run("a", metadata=metadata), "m", Ended("stop", USAGE), reasoning=False)
    assert json.loads(body)["metadata"] == metadata
