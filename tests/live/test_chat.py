"""Chat completions over a real socket: the answer, the stream's grammar, what reaches the provider."""

from __future__ import annotations

import json
import re
import threading

import pytest

from tests.live.gateway import Gateway, chat_body
from tests.scripted import Hang, Reply, ScriptedProvider, Usage

UUID = r"[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}"


def test_an_answer_has_the_whole_shape(gateway: Gateway, provider: ScriptedProvider) -> None:
    """A non-streaming answer has every member that the API documents, with the provider's real usage."""
    provider.enqueue(Reply("Hello", " world", usage=Usage(11, 2, cached=4)))
    answer = gateway.chat(model="  openclaw ")
    assert answer.status == 200
    assert answer.headers["Content-Type"] == "application/json"
    body = answer.json
    assert re.fullmatch(f"chatcmpl_{UUID}", body.pop("id"))
    assert isinstance(body.pop("created"), int)
    assert body == {
        "object": "chat.completion",
        "model": "openclaw",
        "choices": [
            {
                "index": 0,
                "message": {"role": "assistant", "content": "Hello world", "refusal": None},
                "finish_reason": "stop",
                "logprobs": None,
            }
        ],
        "usage": {
            "prompt_tokens": 11,
            "completion_tokens": 2,
            "total_tokens": 13,
            "prompt_tokens_details": {"cached_tokens": 4},
        },
    }


TEXTS = {
    "one token": ["Hello"],
    "two tokens": ["Hello", " world"],
    "2000 tokens": [f" t{n}" for n in range(2000)],
    "no text": [],
    "emoji, CRLF and NUL": ["\U0001f600\u200d\U0001f525", "a\r\nb", "\r\n\r\ndata: [DONE]", "\x00", "\u2028"],
}


@pytest.mark.parametrize("include_usage", [False, True])
@pytest.mark.parametrize("tokens", TEXTS.values(), ids=TEXTS.keys())
def test_a_stream_is_exactly_the_grammar(
    gateway: Gateway, provider: ScriptedProvider, tokens: list[str], include_usage: bool
) -> None:
    """Role, content, finish, usage if asked for, [DONE]: these bytes and no others."""
    provider.enqueue(Reply(*tokens, usage=Usage(7, len(tokens))))
    options = {"stream_options": {"include_usage": True}} if include_usage else {}
    answer = gateway.chat(stream=True, **options)
    assert answer.status == 200
    first = answer.chunks[0]
    assert re.fullmatch(f"chatcmpl_{UUID}", first["id"])
    head = f'{{"id":"{first["id"]}","object":"chat.completion.chunk","created":{first["created"]},"model":"openclaw"'
    tail = ',"usage":null}' if include_usage else "}"

    def chunk(delta: str, reason: str = "null") -> str:
        choice = f'{{"index":0,"delta":{delta},"finish_reason":{reason},"logprobs":null}}'
        return f'data: {head},"choices":[{choice}]{tail}\n\n'

    expected = [chunk('{"role":"assistant","content":""}')]
    expected += [chunk('{"content":' + _json_string(token) + "}") for token in tokens]
    expected += [chunk("{}", '"stop"')]
    if include_usage:
        total = 7 + len(tokens)
        usage = (
            f'{{"prompt_tokens":7,"completion_tokens":{len(tokens)},"total_tokens":{total},'
            '"prompt_tokens_details":{"cached_tokens":0}}'
        )
        expected += [f'data: {head},"choices":[],"usage":{usage}}}\n\n']
    expected += ["data: [DONE]\n\n"]
    assert answer.body == "".join(expected).encode()


def _json_string(text: str) -> str:
    """JSON with control characters escaped and all else as it is."""
    return json.dumps(text, ensure_ascii=False)


def test_a_stream_has_the_headers_that_proxies_need(gateway: Gateway) -> None:
    """Nothing between gateway and client may buffer, cache or rewrite a stream."""
    answer = gateway.chat(stream=True)
    assert answer.headers["Content-Type"].partition(";")[0] == "text/event-stream"
    assert answer.headers["Cache-Control"] == "no-cache, no-transform"
    assert answer.headers["X-Accel-Buffering"] == "no"


def test_tokens_arrive_as_they_are_made(gateway: Gateway, provider: ScriptedProvider) -> None:
    """A token is at the client while the provider still holds the next one back."""
    hold = threading.Event()
    provider.enqueue(Reply("first", " second", hold=hold, hold_at=1))
    with gateway.open(body=chat_body(stream=True)) as response:
        read = b""
        while b"first" not in read:
            read += response.readline()
        hold.set()
        assert b" second" in response.read()


def test_a_slow_start_still_shows_life(gateway: Gateway, provider: ScriptedProvider) -> None:
    """Headers and role chunk come after a second, though the provider says nothing yet."""
    hold = threading.Event()
    provider.enqueue(Reply("late", hold=hold, hold_at="headers"))
    with gateway.open(body=chat_body(stream=True)) as response:
        assert response.status == 200
        assert b'"role":"assistant"' in response.readline()
        assert not provider.requests[0].finished.is_set()
        hold.set()
        assert response.read().endswith(b"data: [DONE]\n\n")


def test_silence_is_filled_with_comments(gateway: Gateway, provider: ScriptedProvider) -> None:
    """A stream without anything to send carries a comment, so that no proxy gives up on it."""
    provider.enqueue(Hang())
    with gateway.open(body=chat_body(stream=True)) as response:
        assert b"data:" in response.readline()
        assert response.readline() == b"\n"
        assert response.readline() == b": keep-alive\n"
        assert response.readline() == b"\n"


def test_sampling_reaches_the_provider(gateway: Gateway, provider: ScriptedProvider) -> None:
    """Every documented field goes to the provider unchanged, nulls and unknown fields don't."""
    sampling = {
        "temperature": 0.5,
        "top_p": 0.9,
        "presence_penalty": -1,
        "frequency_penalty": 1.5,
        "seed": 7,
        "stop": ["a", "b"],
        "response_format": {"type": "json_object"},
        "reasoning_effort": "low",
        "logit_bias": {"50256": -100},
    }
    answer = gateway.chat(**sampling, max_tokens=5, max_completion_tokens=6, top_k=None, n=1, logprobs=False, foo=1)
    assert answer.status == 200
    sent = provider.requests[0].body
    assert {key: sent[key] for key in sampling} == sampling
    assert sent["max_tokens"] == 6
    assert sent["stream"] is True
    assert not {"foo", "n", "logprobs", "top_k", "max_completion_tokens"} & set(sent)


def test_null_is_the_same_as_absent(gateway: Gateway, provider: ScriptedProvider) -> None:
    """SDKs send null for what was not set; none of it reaches the provider."""
    names = ["temperature", "stop", "seed", "user", "model", "stream", "tools", "response_format", "max_tokens"]
    answer = gateway.chat(**dict.fromkeys(names))
    assert answer.status == 200
    assert answer.json["model"] == "openclaw"
    assert set(provider.requests[0].body) == {"model", "messages", "stream", "stream_options"}


def test_a_stateless_conversation_is_given_as_it_is(gateway: Gateway, provider: ScriptedProvider) -> None:
    """Roles, names, tool calls and results reach the model as the caller wrote them, under one system message."""
    call = {"id": "c1", "type": "function", "function": {"name": "f", "arguments": "{}"}}
    conversation = [
        {"role": "user", "content": "one", "name": "Ann"},
        {"role": "assistant", "content": None, "tool_calls": [call]},
        {"role": "tool", "tool_call_id": "c1", "content": "42"},
        {"role": "assistant", "content": "so"},
    ]
    system = [{"role": "system", "content": "Be brief."}, {"role": "developer", "content": "No lists."}]
    answer = gateway.chat(messages=[system[0], *conversation, system[1]])
    assert answer.status == 200
    first, *rest = provider.requests[0].body["messages"]
    assert first["role"] == "system"
    assert first["content"].endswith("Be brief.\n\nNo lists.")
    assert rest == conversation


def test_legacy_function_results_are_tool_results(gateway: Gateway, provider: ScriptedProvider) -> None:
    """An old client's function_call and role "function" arrive as a tool call and its result, bound by an id."""
    messages = [
        {"role": "user", "content": "q"},
        {"role": "assistant", "content": None, "function_call": {"name": "f", "arguments": "{}"}},
        {"role": "function", "name": "f", "content": "42"},
    ]
    assert gateway.chat(messages=messages).status == 200
    _, _, call, result = provider.requests[0].body["messages"]
    assert result == {"role": "tool", "tool_call_id": call["tool_calls"][0]["id"], "content": "42"}


def test_reasoning_is_shown_only_on_request_of_the_config(gateway: Gateway, provider: ScriptedProvider) -> None:
    """Without the config's word a model's reasoning reaches no caller."""
    provider.enqueue(Reply("answer", reasoning=("secret thoughts",)), Reply("answer", reasoning=("secret thoughts",)))
    assert b"secret" not in gateway.chat().body
    assert b"secret" not in gateway.chat(stream=True).body


def test_reasoning_is_shown_when_the_config_opts_in(start_gateway, provider: ScriptedProvider) -> None:
    """With reasoning on, it comes as reasoning_content, whole or in deltas."""
    gateway = start_gateway(gateway={"http": {"endpoints": {"chatCompletions": {"reasoning": True}}}})
    provider.default = Reply("answer", reasoning=("think", "ing"))
    assert gateway.chat().json["choices"][0]["message"]["reasoning_content"] == "thinking"
    deltas = [chunk["choices"][0]["delta"] for chunk in gateway.chat(stream=True).chunks]
    assert [delta["reasoning_content"] for delta in deltas if "reasoning_content" in delta] == ["think", "ing"]


@pytest.mark.parametrize("given", ["my-id", "!" * 128])
def test_a_callers_request_id_is_kept(gateway: Gateway, given: str) -> None:
    """Visible ASCII up to 128 characters comes back as it was sent."""
    assert gateway.call("/healthz", method="GET", headers={"x-request-id": given}).headers["x-request-id"] == given


@pytest.mark.parametrize("given", ["", "x" * 129, "a b", "caf\xe9"])
def test_a_bad_request_id_is_replaced(gateway: Gateway, given: str) -> None:
    """Anything else gets a new id, so that logs stay readable."""
    answer = gateway.call("/nope", method="GET", headers={"x-request-id": given})
    assert re.fullmatch(UUID, answer.headers["x-request-id"])


def test_an_answer_names_its_run_and_session(gateway: Gateway) -> None:
    """Run id and session key come with every chat answer, the key percent-encoded where a header can't hold it."""
    answer = gateway.chat(user="Zo\u00eb 100%")
    assert re.fullmatch(UUID, answer.headers["x-openclaw-run-id"])
    assert answer.headers["x-openclaw-session-key"] == "agent:main:openai-user:Zo%C3%AB%20100%25"
    assert re.fullmatch(f"agent:main:openai:{UUID}", gateway.chat().headers["x-openclaw-session-key"])


def test_finish_reasons_are_passed_on(gateway: Gateway, provider: ScriptedProvider) -> None:
    """length and content_filter mean something to the caller; what no API documents becomes stop."""
    provider.enqueue(Reply("a", finish="length"), Reply("a", finish="content_filter"), Reply("a", finish="eos"))
    reasons = [gateway.chat().json["choices"][0]["finish_reason"] for _ in range(3)]
    assert reasons == ["length", "content_filter", "stop"]
