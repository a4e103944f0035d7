"""A provider that always has something to send: its run ends, and nobody else waits for it."""

from __future__ import annotations

import gzip
from collections.abc import Iterator
from contextlib import ExitStack
from typing import Any

import pytest

from tests.conftest import StartGateway
from tests.live.expect import expect_envelope, expect_error, post
from tests.live.gateway import Gateway, config_for
from tests.scripted import Flood, RawHttp, Reply, ScriptedProvider

MOST = 2 * 1024 * 1024
APIS = ("openai-completions", "openai-responses", "anthropic-messages")
TOKENS = {
    "openai-completions": b'data: {"choices":[{"index":0,"delta":{"content":"a"}}]}\n\n',
    "openai-responses": b'data: {"type":"response.output_text.delta","item_id":"i","output_index":0,"delta":"a"}\n\n',
    "anthropic-messages": (
        b'data: {"type":"content_block_delta","index":0,"delta":{"type":"text_delta","text":"a"}}\n\n'
    ),
}
DELTAS = {
    "arguments": {
        "openai-completions": (
            b'data: {"choices":[{"index":0,"delta":{"tool_calls":[{"index":0,"id":"i","function":{"name":"f",'
            b'"arguments":"{a"}}]}}]}\n\n'
        ),
        "openai-responses": (
            b'data: {"type":"response.function_call_arguments.delta","item_id":"i","output_index":0,"delta":"{a"}\n\n'
        ),
        "anthropic-messages": (
            b'data: {"type":"content_block_delta","index":0,'
            b'"delta":{"type":"input_json_delta","partial_json":"{a"}}\n\n'
        ),
    },
    "calls": {
        "openai-completions": (
            b'data: {"choices":[{"index":0,"delta":{"tool_calls":[{"function":{"name":"f","arguments":"{}"}}]}}]}\n\n'
        ),
        "openai-responses": (
            b'data: {"type":"response.output_item.done","output_index":0,"item":{"type":"function_call","id":"i",'
            b'"call_id":"","name":"f","arguments":"{}"}}\n\n'
        ),
        "anthropic-messages": (
            b'data: {"type":"content_block_start","index":0,"content_block":{"type":"tool_use","id":"","name":"f",'
            b'"input":{}}}\n\ndata: {"type":"content_block_stop","index":0}\n\n'
        ),
    },
    "reasoning": {
        "openai-completions": b'data: {"choices":[{"index":0,"delta":{"reasoning_content":"a"}}]}\n\n',
        "openai-responses": b'data: {"type":"response.reasoning_summary_text.delta","item_id":"i","delta":"a"}\n\n',
        "anthropic-messages": (
            b'data: {"type":"content_block_delta","index":0,"delta":{"type":"thinking_delta","thinking":"a"}}\n\n'
        ),
    },
}
# What a provider may send for ever without saying anything.
NOTHING = {
    "comments": b": OPENROUTER PROCESSING\n\n",
    "blank lines": b"\n",
    "carriage returns": b"\r",
    "pings": b'event: ping\ndata: {"type": "ping"}\n\n',
    "null": b"data: null\n\n",
    "empty data": b"data:\n\n",
    "unknown fields": b"id: 1\n",
    "padding": b" " * 60 + b"\n",
}
OK_HEAD = b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n"


def many(data: bytes) -> bytes:
    return data * (100_000 // len(data))


@pytest.fixture(scope="module")
def _flooded(tmp_path_factory: pytest.TempPathFactory, _shared_provider: ScriptedProvider) -> Iterator[Gateway]:
    def provider(api: str, most: int) -> dict[str, Any]:
        url = _shared_provider.base_url
        url = url.removesuffix("/v1") if api == "anthropic-messages" else url
        return {"baseUrl": url, "apiKey": "k", "api": api, "maxAnswerBytes": most, "models": [{"id": "m"}]}

    providers = {f"{api}{size}": provider(api, most) for api in APIS for size, most in (("", MOST), ("-huge", 2**30))}
    agents = [{"id": id, "model": f"{id}/m"} for id in providers]
    config = config_for(_shared_provider.base_url, models={"providers": providers}, agents={"list": agents})
    gateway = Gateway(tmp_path_factory.mktemp("flooded") / "state", config)
    try:
        yield gateway.wait_until_up()
    finally:
        gateway.kill()


@pytest.fixture
def flooded(_flooded: Gateway, provider: ScriptedProvider) -> Gateway:
    """Its agents have the wire format's name and may hear ``MOST`` bytes; those with ``-huge`` a gigabyte."""
    return _flooded


def ask(agent: str, **more: Any) -> dict[str, Any]:
    return {"model": f"openclaw:{agent}", "messages": [{"role": "user", "content": "hi"}], **more}


@pytest.mark.parametrize("api", APIS)
@pytest.mark.parametrize("kind", NOTHING)
def test_nothing_without_end(flooded: Gateway, provider: ScriptedProvider, api: str, kind: str) -> None:
    """An answer that says nothing for ever is ended at ``maxAnswerBytes``, with an error that names the key."""
    provider.default = Flood(many(NOTHING[kind]))
    message = expect_error(flooded.call(body=ask(api)), 502, "upstream_error")
    assert message == (
        f"provider {api} sent an answer of more than {MOST} bytes (models.providers.{api}.maxAnswerBytes)"
    )


@pytest.mark.parametrize("api", APIS)
def test_text_without_end(flooded: Gateway, provider: ScriptedProvider, api: str) -> None:
    """An endless text is ended at ``maxAnswerBytes``: who streams has what came, and the error behind it."""
    provider.default = Flood(many(TOKENS[api]))
    answer = flooded.call(body=ask(api, stream=True))
    *chunks, error = answer.chunks
    assert "maxAnswerBytes" in expect_envelope(error, "upstream_error")
    text = "".join(chunk["choices"][0]["delta"].get("content") or "" for chunk in chunks)
    assert set(text) == {"a"}
    assert len(text) <= MOST // len(TOKENS[api])


@pytest.mark.parametrize("kind", ["arguments", "calls", "reasoning"])
@pytest.mark.parametrize("api", APIS)
def test_other_deltas_without_end(flooded: Gateway, provider: ScriptedProvider, api: str, kind: str) -> None:
    """Endless arguments, calls and thoughts are bounded as text is."""
    provider.default = Flood(many(DELTAS[kind][api]))
    message = expect_error(flooded.call(body=ask(api)), 502, "upstream_error")
    assert "more than" in message


def test_a_packed_answer(flooded: Gateway, provider: ScriptedProvider) -> None:
    """What counts of a packed answer is what it becomes."""
    packed = gzip.compress(many(NOTHING["comments"]) * 100)
    provider.default = RawHttp(OK_HEAD + b"Content-Encoding: gzip\r\n\r\n" + packed)
    message = expect_error(flooded.call(body=ask(APIS[0])), 502, "upstream_error")
    assert f"more than {MOST} bytes" in message


@pytest.mark.parametrize("api", APIS)
def test_a_line_without_end(flooded: Gateway, provider: ScriptedProvider, api: str) -> None:
    """A line that never ends is an error that says so, long before the answer's bound."""
    provider.default = Flood(b"a" * 100_000)
    message = expect_error(flooded.call(body=ask(f"{api}-huge")), 502, "upstream_error")
    assert message == f"provider {api}-huge sent a line of more than 4194304 bytes"


@pytest.mark.parametrize(
    ("head", "data"),
    [
        (OK_HEAD, b"X-Filler: " + b"a" * 50_000 + b"\r\n"),
        (OK_HEAD, b"X-Filler: a\r\n" * 1000),
        (OK_HEAD + b"X-Filler: ", b"a" * 50_000),
        (b"", b"HTTP/1.1 103 Early Hints\r\nLink: a\r\n\r\n" * 1000),
        (OK_HEAD + b"Transfer-Encoding: chunked\r\n\r\n", b"1;" + b"e" * 500 + b"\r\n:\r\n"),
        (OK_HEAD + b"Transfer-Encoding: chunked\r\n\r\n0\r\n", b"X-Trailer: a\r\n" * 1000),
        (b"HTTP/1.1 500 No\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n", b"X-Trailer: a\r\n" * 1000),
    ],
    ids=["long headers", "headers", "one header", "early hints", "chunks' heads", "trailers", "trailers of an error"],
)
def test_packing_without_end(flooded: Gateway, provider: ScriptedProvider, head: bytes, data: bytes) -> None:
    """What stands around an answer is bounded as the answer is: the run ends with a 502."""
    provider.default = Flood(data, head)
    message = expect_error(flooded.call(body=ask(APIS[0])), 502, "upstream_error")
    assert message.startswith(f"provider {APIS[0]} ")


def test_others_do_not_wait(flooded: Gateway, provider: ScriptedProvider) -> None:
    """While providers flood, others are answered, and a caller that leaves ends its flood."""
    floods = {f"flood {kind}": Flood(many(data)) for kind, data in NOTHING.items()}
    provider.on(lambda received: floods.get(received.body["messages"][-1]["content"], Reply("still here")))
    with ExitStack() as callers:
        for message in floods:
            body = ask(f"{APIS[0]}-huge", stream=True) | {"messages": [{"role": "user", "content": message}]}
            callers.enter_context(flooded.connect()).sendall(post(flooded, body))
        flooding = [provider.wait_for_request(number + 1) for number in range(len(floods))]
        assert flooded.call("/healthz", method="GET").status == 200
        assert flooded.call(body=ask(f"{APIS[0]}-huge")).text == "still here"
        assert not any(received.closed.is_set() for received in flooding)
    assert all(received.closed.wait(10) for received in flooding)


def test_a_deadline_holds_in_a_flood(start_gateway: StartGateway, provider: ScriptedProvider) -> None:
    """A run ends at its deadline, also when its provider never stops sending."""
    providers = {"scripted": {"maxAnswerBytes": 2**30}}
    gateway = start_gateway(agents={"defaults": {"timeoutSeconds": 2}}, models={"providers": providers})
    provider.default = Flood(many(NOTHING["comments"]))
    message = expect_error(gateway.call(body=ask("main")), 504, "timeout_error")
    assert "deadline of 2 s" in message
