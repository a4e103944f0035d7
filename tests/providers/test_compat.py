"""Each ``compat`` key changes the wire as it says."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import pytest

from app.config.settings import Compat, Model
from app.providers import anthropic_request, responses_request
from app.providers.compat import not_taken
from app.providers.completions_request import Dialect, payload
from app.providers.request_fields import OPENAI, taken
from app.providers.stream import ModelCall

FIELDS = taken("openai-completions", openai=False) | OPENAI
SCHEMA = {"type": "object", "properties": {"pattern": {"type": "string", "pattern": "a+"}}}
TOOL = {"type": "function", "function": {"name": "look", "parameters": SCHEMA, "strict": True}}
CALL = {"id": "call_0", "type": "function", "function": {"name": "look", "arguments": "{}"}}
LOOKED = [
    {"role": "user", "content": [{"type": "text", "text": "a"}, {"type": "text", "text": "b"}], "name": "bob"},
    {"role": "assistant", "content": None, "tool_calls": [CALL]},
    {"role": "tool", "tool_call_id": "call_0", "content": "seen"},
    {"role": "user", "content": "and?"},
]
FORM = {"type": "json_schema", "json_schema": {"name": "x", "schema": SCHEMA}}


def asked(**sampling: Any) -> ModelCall:
    return ModelCall("m", LOOKED, time.monotonic() + 5, sampling, tools=[TOOL], tool_choice="auto", cache_key="k")


def sent(compat: Compat, **sampling: Any) -> dict[str, Any]:
    return payload(asked(**sampling), Dialect(FIELDS, compat=compat), "p/m", usage=True)


def test_nothing_said_changes_nothing() -> None:
    """Without a word of ``compat`` the caller's fields, tools and messages go as they are."""
    body = sent(Compat(), temperature=1, reasoning_effort="low", response_format=FORM, top_k=3)
    assert (body["temperature"], body["reasoning_effort"], body["response_format"]) == (1, "low", FORM)
    assert (body["tools"], body["messages"], body["top_k"]) == ([TOOL], LOOKED, 3)


@pytest.mark.parametrize(
    ("compat", "sampling", "holds"),
    [
        (Compat(supports_temperature=False), {"temperature": 1}, lambda body: "temperature" not in body),
        (Compat(supports_reasoning_effort=False), {"reasoning_effort": "low"}, lambda b: "reasoning_effort" not in b),
        (Compat(supports_tools=False), {}, lambda body: not {"tools", "tool_choice"} & body.keys()),
        (Compat(supports_strict_mode=False), {}, lambda body: "strict" not in body["tools"][0]["function"]),
        (
            Compat(supports_json_schema_response_format=False),
            {"response_format": FORM},
            lambda body: body["response_format"] == {"type": "json_object"},
        ),
        (
            Compat(supports_long_cache_retention=False),
            {"prompt_cache_retention": "24h"},
            lambda body: "prompt_cache_retention" not in body,
        ),
        (
            Compat(reasoning_effort_map={"low": "small"}),
            {"reasoning_effort": "low"},
            lambda body: body["reasoning_effort"] == "small",
        ),
        (
            Compat(supported_reasoning_efforts=("none", "medium", "high")),
            {"reasoning_effort": "low"},
            lambda body: body["reasoning_effort"] == "medium",
        ),
        (
            Compat(unsupported_tool_schema_keywords=("pattern",)),
            {},
            # A property of that name is no keyword.
            lambda body: body["tools"][0]["function"]["parameters"]["properties"] == {"pattern": {"type": "string"}},
        ),
        (Compat(zai_tool_stream=True), {}, lambda body: body["tool_stream"] is True),
        (Compat(open_router_routing={"only": ["a"]}), {}, lambda body: body["provider"] == {"only": ["a"]}),
        (
            Compat(vercel_gateway_routing={"order": ["a"]}),
            {},
            lambda body: body["providerOptions"] == {"gateway": {"order": ["a"]}},
        ),
        (Compat(requires_tool_result_name=True), {}, lambda body: body["messages"][2]["name"] == "look"),
        (
            Compat(requires_assistant_after_tool_result=True),
            {},
            lambda body: [message["role"] for message in body["messages"]][2:] == ["tool", "assistant", "user"],
        ),
        (Compat(requires_string_content=True), {}, lambda body: body["messages"][0]["content"] == "ab"),
        (
            Compat(requires_reasoning_content_on_assistant_messages=True),
            {},
            lambda body: body["messages"][1]["reasoning_content"] == "",
        ),
        (Compat(strict_message_keys=True), {}, lambda body: body["messages"][0].keys() == {"role", "content"}),
        (
            Compat(requires_mistral_tool_ids=True),
            {},
            lambda body: (
                body["messages"][1]["tool_calls"][0]["id"].isalnum()
                and len(body["messages"][2]["tool_call_id"]) == 9
                and body["messages"][1]["tool_calls"][0]["id"] == body["messages"][2]["tool_call_id"]
            ),
        ),
    ],
)
def test_each_key_is_obeyed(compat: Compat, sampling: dict[str, Any], holds: Callable[[Any], bool]) -> None:
    """What a server doesn't take is not sent, and what it needs is."""
    assert holds(sent(compat, **sampling))


@pytest.mark.parametrize(
    ("name", "effort", "told"),
    [
        ("openai", "low", {"reasoning_effort": "low"}),
        ("openrouter", "low", {"reasoning": {"effort": "low"}}),
        ("together", "low", {"reasoning": {"enabled": True}, "reasoning_effort": "low"}),
        ("deepseek", "low", {"thinking": {"type": "enabled"}, "reasoning_effort": "low"}),
        ("deepseek", "none", {"thinking": {"type": "disabled"}}),
        ("zai", "low", {"thinking": {"type": "enabled", "clear_thinking": False}}),
        ("zai", "none", {"thinking": {"type": "disabled"}}),
        ("qwen", "none", {"enable_thinking": False}),
        ("qwen-chat-template", "low", {"chat_template_kwargs": {"enable_thinking": True}}),
        ("unheard-of", "low", {"reasoning_effort": "low"}),
    ],
)
def test_thinking_has_many_forms(name: str, effort: str, told: dict[str, Any]) -> None:
    """An effort is told in the words of the server, and in no others."""
    body = sent(Compat(thinking_format=name), reasoning_effort=effort)
    forms = ("reasoning_effort", "reasoning", "thinking", "enable_thinking", "chat_template_kwargs")
    assert {key: body[key] for key in forms if key in body} == told


def test_the_callers_own_word_on_thinking_counts() -> None:
    """A caller that speaks the server's dialect itself is not overruled by the effort's translation."""
    body = sent(Compat(thinking_format="zai"), reasoning_effort="low", thinking={"type": "disabled"})
    assert body["thinking"] == {"type": "disabled"}


def test_the_operators_word_counts_most() -> None:
    """``extra_body`` is over the caller's fields."""
    dialect = Dialect(FIELDS, body={"top_k": 1, "chat_template_kwargs": {"a": 1}})
    assert payload(asked(top_k=3), dialect, "p/m", usage=True)["top_k"] == 1


def test_the_general_keys_hold_in_every_format() -> None:
    """A server of another format that takes no tools or temperature is sent none."""
    model = Model(id="m", name="m", compat=Compat(supports_tools=False, supports_temperature=False))
    for body in (
        anthropic_request.payload(asked(temperature=0.5), model, "p/m", FIELDS),
        responses_request.payload(asked(temperature=0.5), model, "p/m", FIELDS, by_key=True),
    ):
        assert "temperature" not in body
        assert all(tool["name"] != "look" or body["tool_choice"] == {"type": "none"} for tool in body.get("tools", ()))


@pytest.mark.parametrize("by_key", [True, False])
def test_a_cache_key_goes_to_who_takes_one(by_key: bool) -> None:
    """A session's key helps a server that asks for one; a caller's own key is the one that counts."""
    dialect = Dialect(FIELDS, caches_by_key=by_key)
    assert payload(asked(), dialect, "p/m", usage=True).get("prompt_cache_key") == ("k" if by_key else None)
    assert payload(asked(prompt_cache_key="mine"), dialect, "p/m", usage=True)["prompt_cache_key"] == "mine"


def test_what_the_operator_passes_on_reaches_every_format() -> None:
    """A field of ``passFields`` is sent as it is, whatever the server speaks."""
    model, fields = Model(id="m", name="m"), frozenset({"top_k"})
    for body in (
        anthropic_request.payload(asked(top_k=3), model, "p/m", fields),
        responses_request.payload(asked(top_k=3), model, "p/m", fields, by_key=False),
        payload(asked(top_k=3), Dialect(fields), "p/m", usage=True),
    ):
        assert body["top_k"] == 3


def test_what_a_server_does_not_take_is_no_field_of_its() -> None:
    """So that the caller is told that it was ignored."""
    assert not_taken(Compat(supports_temperature=False, supports_reasoning_effort=False)) == {
        "temperature",
        "reasoning_effort",
    }
    assert not_taken(Compat(supports_reasoning_effort=False, thinking_format="zai")) == set()


def test_the_operators_template_words_join_the_others() -> None:
    """What the effort became, what the caller said and what the operator says stand in one object; his word counts."""
    dialect = Dialect(
        FIELDS, compat=Compat(thinking_format="qwen-chat-template"), body={"chat_template_kwargs": {"x": 1, "y": 2}}
    )
    body = payload(asked(reasoning_effort="low", chat_template_kwargs={"x": 0}), dialect, "p/m", usage=True)
    assert body["chat_template_kwargs"] == {"enable_thinking": True, "x": 1, "y": 2}
    other = Dialect(FIELDS, compat=dialect.compat)
    odd = payload(asked(reasoning_effort="low", chat_template_kwargs=[1]), other, "p/m", usage=True)
    assert odd["chat_template_kwargs"] == [1]
