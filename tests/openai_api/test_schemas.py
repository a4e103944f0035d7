"""The body of a chat completion: which fields are read, which are refused, and what goes to the provider."""

from __future__ import annotations

from typing import Any

import orjson
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from app.errors import InvalidRequest
from app.openai_api.messages import Conversation
from app.openai_api.schemas import ChatCompletionSchema, load_chat_completion, sampling_of
from tests.openai_api.test_messages import ALMOST, JSON

MESSAGES = [{"role": "user", "content": "hi"}]


def load(**fields: Any) -> dict[str, Any]:
    return load_chat_completion({"messages": MESSAGES, **fields}, 100_000)


def refusal(**fields: Any) -> tuple[str | None, str]:
    """The param and the message of a body that must be refused."""
    with pytest.raises(InvalidRequest) as refused:
        load(**fields)
    assert refused.value.status == 400
    return refused.value.param, refused.value.message


def test_the_least_body() -> None:
    """Messages are all that a request needs."""
    assert load() == {"messages": Conversation("", MESSAGES, [0])}


def test_nulls_and_unknown_fields_are_left_out() -> None:
    """SDKs send null for what was not set, and fields that this version doesn't know."""
    fields = set(ChatCompletionSchema._declared_fields) - {"messages"}
    assert load(**dict.fromkeys(fields), foo=1, store=False) == load()


def test_null_inside_a_field_is_absent() -> None:
    """Whoever fills every member of an object in says nothing by it."""
    form = {"type": "json_schema", "json_schema": {"name": "n", "schema": None, "strict": None}}
    assert load(response_format=form)["response_format"] == {"type": "json_schema", "json_schema": {"name": "n"}}
    assert load(stream_options={"include_usage": None})
    assert load(metadata={"a": None, "b": "c"})["metadata"] == {"b": "c"}


@pytest.mark.parametrize("metadata", [{}, {"a": ""}, {"k" * 64: "v" * 512}, {str(n): "v" for n in range(16)}])
def test_metadata_that_is_taken(metadata: dict[str, str]) -> None:
    """Up to sixteen pairs, names of 64 and values of 512 characters."""
    assert load(metadata=metadata)["metadata"] == metadata


@pytest.mark.parametrize(
    ("metadata", "param"),
    [
        ([], "metadata"),
        ({str(n): "v" for n in range(17)}, "metadata"),
        ({"k" * 65: "v"}, "metadata"),
        ({"a": "v" * 513}, "metadata.a"),
        ({"a": 1}, "metadata.a"),
    ],
)
def test_metadata_that_is_not_taken(metadata: Any, param: str) -> None:
    """Whoever stores it elsewhere by the API's rules must not lose a part of it here."""
    assert refusal(metadata=metadata)[0] == param


def test_harmless_values_are_taken() -> None:
    """What says nothing but the default passes."""
    assert load(
        n=1, logprobs=False, top_logprobs=0, stop="", modalities=["text"], tools=[], tool_choice="auto", functions=[]
    ) == {
        "messages": Conversation("", MESSAGES, [0]),
        "stop": [],
        "tools": [],
        "tool_choice": "auto",
    }


@pytest.mark.parametrize(
    ("field", "values"),
    [
        ("temperature", [-0.1, 2.1, "1", True]),
        ("top_p", [-0.1, 1.1, "1"]),
        ("presence_penalty", [-2.1, 2.1]),
        ("frequency_penalty", [-2.1, 2.1]),
        ("stop", [list("abcde"), [""], [1], 5]),
        ("max_tokens", [0, -1, 1.5, "5"]),
        ("max_completion_tokens", [0, -1, 1.5, "5"]),
        ("seed", [1.5, "7", True]),
        ("n", [0, 2, 1.0, "1", True]),
        ("stream", ["true", 1, 0, "yes"]),
        ("stream_options", [True, [], "usage"]),
        ("logprobs", [True, 1]),
        ("top_logprobs", [1, 20, True, "5"]),
        ("verbosity", ["loud", "", 1, ["low"]]),
        ("service_tier", [1, ["auto"]]),
        ("safety_identifier", ["x" * 129, 5]),
        ("prompt_cache_key", [5]),
        ("prompt_cache_retention", [24]),
        ("prompt_cache_options", ["24h", []]),
        ("prediction", ["text", []]),
        ("audio", [{}, {"voice": "alloy"}]),
        ("modalities", [["text", "audio"], ["audio"], "text"]),
        ("tools", [{}, "f", True]),
        ("tool_choice", ["required", {"type": "function"}]),
        ("parallel_tool_calls", ["yes", 1]),
        ("functions", [[{"name": "f"}]]),
        ("function_call", [{"name": "f"}]),
        ("response_format", ["json_object", []]),
        ("logit_bias", [[], 5]),
        ("reasoning_effort", [5, ["low"]]),
        ("user", [5, ["a"], True]),
        ("model", [5, ["a"], {}]),
        ("messages", [None, [], "hi", {}]),
    ],
)
def test_out_of_range(field: str, values: list[Any]) -> None:
    """A wrong type or a value out of range is 400 with the field as param, and the message begins with it."""
    for value in values:
        param, message = refusal(**{field: value})
        assert param == field, value
        assert message.startswith(f"{field}: ")


def test_no_messages_at_all() -> None:
    """Their absence is told as such."""
    with pytest.raises(InvalidRequest) as refused:
        load_chat_completion({"model": "openclaw"}, 100_000)
    assert (refused.value.param, refused.value.message) == ("messages", "messages: is required")


@pytest.mark.parametrize(
    ("fields", "param"),
    [
        ({"messages": [*MESSAGES, {"role": "robot"}]}, "messages[1].role"),
        ({"messages": [5]}, "messages[0]"),
        (
            {"messages": [{"role": "user", "content": [{"type": "text", "text": "a"}, {"type": "file"}]}]},
            "messages[0].content[1].file",
        ),
        ({"messages": [{"role": "assistant", "tool_calls": [{"id": "c"}]}]}, "messages[0].tool_calls[0].function"),
        ({"response_format": {"type": "xml"}}, "response_format.type"),
        ({"response_format": {}}, "response_format.type"),
        ({"response_format": {"type": ["text"]}}, "response_format.type"),
        ({"stream_options": {"include_usage": "yes"}}, "stream_options.include_usage"),
        ({"tools": [{"type": "function", "function": {"name": "a b"}}]}, "tools[0].function.name"),
        (
            {"messages": [{"role": "user", "content": [{"type": "image_url", "image_url": {}}]}]},
            "messages[0].content[0].image_url.url",
        ),
    ],
)
def test_a_fault_is_named_by_its_path(fields: dict[str, Any], param: str) -> None:
    """The param leads to the very value."""
    assert refusal(**fields)[0] == param


def test_what_goes_to_the_provider() -> None:
    """Every documented sampling field as it is, and nothing else."""
    sampling = {
        "temperature": 0.5,
        "top_p": 1,
        "presence_penalty": -2,
        "frequency_penalty": 2.0,
        "seed": -7,
        "stop": ["a"],
        "response_format": {"type": "json_schema", "json_schema": {"name": "n", "schema": {}}},
        "reasoning_effort": "low",
        "logit_bias": {"50256": -100},
        "parallel_tool_calls": False,
        "verbosity": "low",
        "service_tier": "flex",
        "safety_identifier": "x" * 128,
        "prompt_cache_key": "k",
        "prompt_cache_retention": "24h",
        "prompt_cache_options": {"mode": "explicit", "ttl": "30m"},
        "prediction": {"type": "content", "content": "text"},
    }
    chat = load(
        **sampling,
        tools=[],
        tool_choice="auto",
        user="u",
        model="openclaw",
        stream=True,
        stream_options={"include_usage": True},
        n=1,
        metadata={"a": "b"},
    )
    assert sampling_of(chat) == sampling


@pytest.mark.parametrize(
    ("fields", "limit"),
    [
        ({"max_tokens": 5}, 5),
        ({"max_completion_tokens": 6}, 6),
        ({"max_tokens": 5, "max_completion_tokens": 6}, 6),
        ({"max_tokens": 5, "max_completion_tokens": None}, 5),
        ({}, None),
    ],
)
def test_the_token_limit_is_one(fields: dict[str, Any], limit: int | None) -> None:
    """``max_completion_tokens`` wins; the provider gets one limit under one name."""
    assert sampling_of(load(**fields)) == ({"max_tokens": limit} if limit else {})


@pytest.mark.parametrize("stop", ["", []])
def test_an_empty_stop_is_none(stop: Any) -> None:
    """Providers refuse what means nothing."""
    assert sampling_of(load(stop=stop)) == {}


def test_zero_is_not_absent() -> None:
    """A temperature or seed of 0 goes to the provider."""
    assert sampling_of(load(temperature=0, seed=0)) == {"temperature": 0, "seed": 0}


NAMES = st.sampled_from(sorted(ChatCompletionSchema._declared_fields))
LIKELY = st.sampled_from([0, 1, -1, 2.5, "", "a", True, [], ["a"], {}, {"type": "text"}, {"include_usage": 1}])
BODIES = st.dictionaries(NAMES | st.text(max_size=5), JSON | LIKELY, max_size=6)


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(BODIES, st.lists(ALMOST | st.just(MESSAGES[0]), max_size=3) | JSON)
def test_any_body_is_loaded_or_refused(body: dict[str, Any], messages: Any) -> None:
    """Whatever an object holds, it is loaded or refused with a param; what is loaded can be sent on."""
    outcome = loaded_or_refused({**body, "messages": messages})
    if isinstance(outcome, InvalidRequest):
        assert outcome.param
        assert outcome.message.startswith(f"{outcome.param}: ")
        orjson.dumps(outcome.envelope())
    else:
        assert None not in outcome.values()
        assert set(outcome) <= set(ChatCompletionSchema._declared_fields)
        assert isinstance(outcome["messages"], Conversation)
        sampling_of(outcome)


def loaded_or_refused(body: dict[str, Any]) -> dict[str, Any] | InvalidRequest:
    try:
        return load_chat_completion(body, 100_000)
    except InvalidRequest as refused:
        return refused


@pytest.mark.parametrize("key", ["response_format", "logit_bias", "metadata"])
@pytest.mark.parametrize("depth", [300, 900])
def test_a_deep_body_is_no_fault_of_ours(key: str, depth: int) -> None:
    """What is nested deeper than it could be sent on is the caller's mistake."""
    deep = orjson.loads('{"type":"text","a":' + "[" * depth + "]" * depth + "}")
    assert refusal(**{key: deep}) == (key, f"{key}: is nested too deeply")
