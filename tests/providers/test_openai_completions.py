"""The OpenAI wire format: what is asked, and what is read of every kind of answer."""

from __future__ import annotations

import json
import threading
import time
from dataclasses import replace
from typing import Any

import gevent
import orjson
import pytest

from app.errors import ProviderError, ProviderTimeout
from app.providers import sse
from app.providers.completions_request import USUAL
from app.providers.openai_completions import OpenAICompletions
from app.providers.stream import Began, Completed, Delta, ModelCall, ReasoningDelta, TextDelta, ToolCallDelta, Usage
from tests import scripted
from tests.providers.scene import (
    EVENTS,
    MESSAGES,
    RawServer,
    call,
    collected,
    completed,
    deltas,
    reasoning_of,
    response,
    text_of,
    upstream,
)
from tests.scripted import (
    Cut,
    Empty,
    ErrorInStream,
    HangAfterHeaders,
    RawStream,
    Reply,
    ScriptedProvider,
    ToolCall,
)


def event(delta: Any = None, finish: Any = None, **more: Any) -> bytes:
    choice = {"index": 0, "delta": delta if delta is not None else {}, "finish_reason": finish}
    return b"data: " + json.dumps({"choices": [choice], **more}).encode() + b"\n\n"


FINISH = event(finish="stop")
DONE = b"data: [DONE]\n\n"


# What is asked.


def test_the_request(provider: ScriptedProvider) -> None:
    """Always a stream with its usage, the messages as they are, and the sampling fields beside them."""
    deltas(provider.base_url, temperature=0.5, stop=["a"], seed=7)
    received = provider.requests[0]
    assert received.body == {
        "model": "m",
        "messages": MESSAGES,
        "stream": True,
        "stream_options": {"include_usage": True},
        "temperature": 0.5,
        "stop": ["a"],
        "seed": 7,
    }
    assert received.headers["content-type"] == "application/json"
    assert received.headers["accept"] == "text/event-stream"


@pytest.mark.parametrize("name", ["max_tokens", "max_completion_tokens"])
def test_the_token_limit_has_the_servers_name(provider: ScriptedProvider, name: str) -> None:
    """The limit goes under the one name that the server knows."""
    collected(
        OpenAICompletions(upstream(provider.base_url), replace(USUAL, max_tokens_field=name)).stream(call(max_tokens=5))
    )
    body = provider.requests[0].body
    assert body[name] == 5
    assert len({"max_tokens", "max_completion_tokens"} & set(body)) == 1


def test_text_of_every_kind_is_sent_unchanged(provider: ScriptedProvider) -> None:
    """Emoji, NUL and line ends reach the provider as they are."""
    text = "\x00 \U0001f600\u200d\U0001f525 \r\n \u2028"
    message = {"role": "user", "content": text}
    collected(OpenAICompletions(upstream(provider.base_url)).stream(ModelCall("m", [message], time.monotonic() + 5)))
    assert provider.requests[0].body["messages"] == [message]


WEATHER = {"type": "function", "function": {"name": "weather", "parameters": {"type": "object"}}}


def sent(provider: ScriptedProvider, asked: ModelCall) -> dict[str, Any]:
    collected(OpenAICompletions(upstream(provider.base_url)).stream(asked))
    body: dict[str, Any] = provider.requests[0].body
    return body


def test_tools_are_sent_as_they_are(provider: ScriptedProvider) -> None:
    """The gateway's shape is the wire's."""
    choice = {"type": "function", "function": {"name": "weather"}}
    body = sent(provider, call(parallel_tool_calls=False)._replace(tools=(WEATHER,), tool_choice=choice))
    assert (body["tools"], body["tool_choice"], body["parallel_tool_calls"]) == ([WEATHER], choice, False)


def test_without_tools_there_is_no_word_of_them(provider: ScriptedProvider) -> None:
    """Servers refuse a choice among no tools."""
    body = sent(provider, call(parallel_tool_calls=False)._replace(tool_choice="auto"))
    assert not {"tools", "tool_choice", "parallel_tool_calls"} & set(body)


def test_what_only_the_gateway_knows_stays_here(provider: ScriptedProvider) -> None:
    """Another format's state and the mark of a failed tool are no fields of a message; the caller's stay whole."""
    messages: list[dict[str, Any]] = [
        {"role": "assistant", "content": "a", "state": {"api": "anthropic-messages"}},
        {"role": "tool", "tool_call_id": "t", "content": "error: no", "failed": True},
    ]
    body = sent(provider, call()._replace(messages=messages))
    assert body["messages"] == [
        {"role": "assistant", "content": "a"},
        {"role": "tool", "tool_call_id": "t", "content": "error: no"},
    ]
    assert "state" in messages[0]


# What is read.


def test_an_answer_is_began_text_completed(provider: ScriptedProvider) -> None:
    """Deltas come as the provider sent them, with one beginning and one end."""
    provider.default = Reply("Hello", " world", usage=scripted.Usage(7, 2, cached=3))
    found = deltas(provider.base_url)
    assert found == [Began(), TextDelta("Hello"), TextDelta(" world"), Completed("stop", Usage(7, 2, 3))]
    assert [type(delta) for delta in found] == [Began, TextDelta, TextDelta, Completed]


@pytest.mark.parametrize("place", ["own", "finish", "every"])
def test_usage_is_read_wherever_it_stands(provider: ScriptedProvider, place: Any) -> None:
    """In a chunk of its own, with the finish reason, or in every chunk, it is counted once."""
    provider.default = Reply("a", "b", usage=scripted.Usage(7, 2, cached=3), usage_in=place)
    assert completed(deltas(provider.base_url)).usage == Usage(7, 2, 3)


def test_an_answer_without_usage_counts_nothing(provider: ScriptedProvider) -> None:
    """Servers that don't report usage are served all the same."""
    assert completed(deltas(provider.base_url)).usage == Usage()


@pytest.mark.parametrize(
    "usage",
    [
        None,
        [],
        "many",
        5,
        {},
        {"prompt_tokens": None, "completion_tokens": None, "prompt_tokens_details": None},
        {"prompt_tokens": "7", "completion_tokens": [2], "prompt_tokens_details": {"cached_tokens": {}}},
        {"prompt_tokens": -1, "completion_tokens": True, "prompt_tokens_details": {}},
    ],
)
def test_usage_of_an_odd_shape_counts_nothing(provider: ScriptedProvider, usage: Any) -> None:
    """What can't be summed is left out, and the answer is still an answer."""
    provider.default = RawStream(event({"content": "a"}), event(finish="stop", usage=usage), DONE)
    found = deltas(provider.base_url)
    assert (text_of(found), completed(found).usage) == ("a", Usage())


def test_reasoning_is_told_apart_from_text(provider: ScriptedProvider) -> None:
    """Both names under which servers send reasoning are read."""
    provider.default = RawStream(
        event({"reasoning_content": "hm"}), event({"reasoning": ", yes"}), event({"content": "a"}), FINISH, DONE
    )
    found = deltas(provider.base_url)
    assert [type(delta) for delta in found] == [Began, ReasoningDelta, ReasoningDelta, TextDelta, Completed]
    assert (reasoning_of(found), text_of(found)) == ("hm, yes", "a")


@pytest.mark.parametrize(
    ("sent", "read"),
    [
        ("stop", "stop"),
        ("length", "length"),
        ("content_filter", "content_filter"),
        ("tool_calls", "tool_calls"),
        ("eos", "stop"),
    ],
)
def test_finish_reasons(provider: ScriptedProvider, sent: str, read: str) -> None:
    """The documented reasons are kept; what no API documents is a stop."""
    provider.default = Reply("a", finish=sent)
    assert completed(deltas(provider.base_url)).finish_reason == read


def test_an_answer_without_text_is_an_answer(provider: ScriptedProvider) -> None:
    """A finished answer without a word is valid."""
    provider.default = Reply()
    assert deltas(provider.base_url) == [Began(), Completed("stop", Usage())]


@pytest.mark.parametrize(
    "text",
    ["\U0001f600\u200d\U0001f525", "a\r\nb", "\r\n\r\ndata: [DONE]\n\n", "\x00", "\u2028\u2029", "[DONE]", "data: "],
)
def test_text_of_every_kind_is_read_unchanged(provider: ScriptedProvider, text: str) -> None:
    """Whatever stands in a token stays in it, even what looks like the stream's own grammar."""
    provider.default = Reply("<", text, ">")
    assert text_of(deltas(provider.base_url)) == f"<{text}>"


@pytest.mark.parametrize("extra", [(": ping",), ("event: message", "id: 7", "retry: 10"), ("data:",), ("data: ", ":")])
@pytest.mark.parametrize("crlf", [False, True])
def test_what_is_not_data_is_passed_over(provider: ScriptedProvider, extra: tuple[str, ...], crlf: bool) -> None:
    """Comments, event names, ids and empty data, with LF or CRLF, are no part of the answer."""
    provider.default = Reply("Hello", " world", extra=extra, crlf=crlf)
    assert text_of(deltas(provider.base_url)) == "Hello world"


def test_the_space_after_the_colon_is_optional(provider: ScriptedProvider) -> None:
    """``data:{…}`` is the same as ``data: {…}``."""
    provider.default = RawStream(event({"content": "a"}).replace(b"data: ", b"data:"), FINISH, b"data:[DONE]\n\n")
    assert text_of(deltas(provider.base_url)) == "a"


ODD = (
    b": comment\r\n\r\n"
    + event({"content": "é\U0001f600"})
    + event({"content": "b"}).replace(b"\n", b"\r\n")
    + event(finish="length", usage={"prompt_tokens": 7, "completion_tokens": 2})
    + DONE
)


def test_a_stream_may_be_cut_anywhere(provider: ScriptedProvider) -> None:
    """Written in two pieces, whatever the byte between them, the answer is the same."""
    expected = [Began(), TextDelta("é\U0001f600"), TextDelta("b"), Completed("length", Usage(7, 2))]
    connection = OpenAICompletions(upstream(provider.base_url))
    for position in range(len(ODD) + 1):
        provider.enqueue(RawStream(ODD[:position], ODD[position:]))
        assert collected(connection.stream(call())) == expected, position


def test_a_stream_may_come_byte_by_byte(provider: ScriptedProvider) -> None:
    """Each byte in a chunk of its own is the same answer."""
    provider.default = RawStream(*(ODD[i : i + 1] for i in range(len(ODD))))
    assert text_of(deltas(provider.base_url)) == "é\U0001f600b"


@pytest.mark.parametrize(
    ("data", "text"),
    [
        (b'{"choices":[{"delta":{"content":"a\\ud83d"}}]}', "a\ufffd"),
        (b'{"choices":[{"delta":{"content":"\\ude00b"}}]}', "\ufffdb"),
        (b'{"choices":[{"delta":{"content":"\\ud83d\\ude00"}}]}', "\U0001f600"),
    ],
)
def test_a_lone_surrogate_is_replaced(provider: ScriptedProvider, data: bytes, text: str) -> None:
    """Servers that cut an emoji between two chunks don't fail the run, and what is passed on can be encoded."""
    provider.default = RawStream(b"data: " + data + b"\n\n", FINISH, DONE)
    assert text_of(deltas(provider.base_url)) == text
    orjson.dumps(text)


@pytest.mark.parametrize(
    "end", [FINISH + b"data: [DONE]", FINISH.rstrip(), FINISH + DONE.rstrip(b"\n"), FINISH, FINISH + DONE * 2]
)
def test_ends_of_every_kind(provider: ScriptedProvider, end: bytes) -> None:
    """A last line without its end, no [DONE], or two of them: the answer is whole."""
    provider.default = RawStream(event({"content": "a"}), end)
    found = deltas(provider.base_url)
    assert (text_of(found), completed(found).finish_reason) == ("a", "stop")


def test_an_answer_that_ends_with_its_connection() -> None:
    """A server without chunks and length, which closes when it has said all, is understood."""
    with RawServer(response(EVENTS, "Connection: close", length=False)) as server:
        assert text_of(deltas(server.base_url)) == "Hello"


@pytest.mark.parametrize(("said", "patience"), [(b"", "AFTER_FINISH_TIMEOUT"), (DONE, "AFTER_DONE_TIMEOUT")])
def test_a_server_that_never_closes_after_its_finish(
    provider: ScriptedProvider, monkeypatch: pytest.MonkeyPatch, said: bytes, patience: str
) -> None:
    """Once the finish reason is here, a server that hangs costs a short wait and not the answer."""
    monkeypatch.setattr(sse, patience, 0.05)

    class NeverCloses:
        def play(self, exchange: Any) -> None:
            exchange.open_stream()
            exchange.send(event({"content": "a"}) + FINISH + said)
            exchange.pause(None)

    provider.default = NeverCloses()
    assert text_of(deltas(provider.base_url)) == "a"


def test_a_server_that_is_cut_after_its_finish(provider: ScriptedProvider) -> None:
    """An answer that is whole is not lost because [DONE] didn't come."""

    class CutAfterFinish:
        def play(self, exchange: Any) -> None:
            exchange.open_stream()
            exchange.send(event({"content": "a"}) + FINISH)
            exchange.cut(False)

    provider.default = CutAfterFinish()
    assert completed(deltas(provider.base_url)).finish_reason == "stop"


# Tool calls.


def calls_of(found: list[Delta]) -> list[tuple[str, str, str]]:
    """Id, name and arguments of each call, put together as whoever makes them does."""
    calls: list[list[str]] = []
    for delta in found:
        if isinstance(delta, ToolCallDelta):
            if delta.index == len(calls):
                calls.append([delta.id, delta.name, ""])
            else:
                assert (delta.id, delta.name) == ("", "")
            calls[delta.index][2] += delta.arguments
    return [(id, name, arguments) for id, name, arguments in calls]


def fragment(arguments: Any = "", *, name: str = "", **more: Any) -> dict[str, Any]:
    return {**more, "function": {"arguments": arguments, **({"name": name} if name else {})}}


def test_tool_calls(provider: ScriptedProvider) -> None:
    """Calls come in fragments between text and the end, each named once."""
    calls = (ToolCall("call_1", "weather", '{"city":', '"Oslo"}'), ToolCall("call_2", "clock", "{}"))
    provider.default = Reply("Let me see.", tool_calls=calls, finish="tool_calls")
    assert deltas(provider.base_url) == [
        Began(),
        TextDelta("Let me see."),
        ToolCallDelta(0, "call_1", "weather"),
        ToolCallDelta(0, arguments='{"city":'),
        ToolCallDelta(0, arguments='"Oslo"}'),
        ToolCallDelta(1, "call_2", "clock"),
        ToolCallDelta(1, arguments="{}"),
        Completed("tool_calls", Usage()),
    ]


ONE = [("a", "weather", '{"x":1}')]
TWO = [*ONE, ("b", "clock", "{}")]


@pytest.mark.parametrize(
    ("chunks", "expected"),
    [
        ([[fragment('{"x":1}', name="weather", id="a", index=0), fragment("{}", name="clock", id="b", index=1)]], TWO),
        ([[fragment(part, name="weather", id="a", index=0)] for part in ('{"x"', ":1", "}")], ONE),
        ([[fragment('{"x"', name="weather", id="a")], [fragment(":1")], [fragment("}")]], ONE),
        ([[fragment(part, id="a", name="weather")] for part in ('{"x"', ":1}")], ONE),
        ([[fragment({"x": 1}, name="weather", id="a", index=0)]], ONE),
        ([[fragment('{"x":1}', name="weather", id="a", index=0)], [fragment("{}", name="clock", id="b", index=0)]],
         TWO),
        (
            [
                [fragment(name="weather", id="a", index=0)],
                [fragment('{"x":1}', index=0)],
                [fragment(name="clock", id="b", index=0)],
                [fragment("{}", index=0)],
            ],
            TWO,
        ),
        (
            [
                [fragment(name="weather", id="a", index=0), fragment(name="clock", id="b", index=1)],
                [fragment("{}", index=1), fragment('{"x":', index=0)],
                [fragment("1}", index=0)],
            ],
            TWO,
        ),
        ([[fragment('{"x"', name="weather", id="a", index=3)], [fragment(":1}", index=3, id=None)]], ONE),
        ([[{"id": "a", "index": 0, "function": {"name": "weather", "arguments": None}}]], [("a", "weather", "{}")]),
        ([[{"id": "a", "index": 0, "function": {"name": "weather"}}], [{"index": 0, "function": None}]],
         [("a", "weather", "{}")]),
    ],
)  # fmt: skip
def test_tool_calls_of_every_server(
    provider: ScriptedProvider, chunks: list[list[dict[str, Any]]], expected: list[tuple[str, str, str]]
) -> None:
    """Whole calls, repeated or missing ids, names and indexes, and objects for arguments are all the same calls."""
    provider.default = RawStream(*(event({"tool_calls": chunk}) for chunk in chunks), FINISH, DONE)
    assert calls_of(deltas(provider.base_url)) == expected


def test_calls_without_ids_of_their_own_get_some(provider: ScriptedProvider) -> None:
    """Ids that are missing, or the same for two calls, are made up: results are told apart by them."""
    provider.default = RawStream(
        event({"tool_calls": [fragment("{}", name="weather"), fragment("{}", name="clock")]}),
        event({"tool_calls": [fragment("{}", name=name, id="same", index=i) for i, name in ((2, "a"), (3, "b"))]}),
        FINISH,
    )
    calls = calls_of(deltas(provider.base_url))
    assert [name for _, name, _ in calls] == ["weather", "clock", "a", "b"]
    assert len({id for id, _, _ in calls}) == len(calls)
    assert all(0 < len(id) <= 40 for id, _, _ in calls)


@pytest.mark.parametrize(
    ("sent", "read"),
    [
        ("tool_calls", "tool_calls"),
        ("function_call", "tool_calls"),
        ("stop", "tool_calls"),
        ("length", "length"),
        ("content_filter", "content_filter"),
    ],
)
def test_finish_reasons_of_calls(provider: ScriptedProvider, sent: str, read: str) -> None:
    """An answer with calls that ended well ended to have them made, whatever the server calls it."""
    provider.default = Reply(tool_calls=(ToolCall("a", "weather", "{}"),), finish=sent)
    assert completed(deltas(provider.base_url)).finish_reason == read


# What is refused.


def test_a_call_that_is_cut(provider: ScriptedProvider) -> None:
    """A connection that closes in the middle of a call's arguments is an error."""
    step = Reply("a", tool_calls=(ToolCall("a", "weather", '{"ci'),), cut=True)
    assert "was cut" in refusal(provider, step).message


def test_a_generation_that_failed_is_an_error(provider: ScriptedProvider) -> None:
    """A server that ends with the finish reason "error" did not answer, whatever text came before."""
    provider.default = RawStream(event({"content": "a"}), event(finish="error"), DONE)
    with pytest.raises(ProviderError, match="generation failed"):
        deltas(provider.base_url)


def refusal(provider: ScriptedProvider, *steps: Any) -> ProviderError:
    provider.enqueue(*steps)
    with pytest.raises(ProviderError) as refused:
        deltas(provider.base_url)
    assert refused.value.retryable
    return refused.value


@pytest.mark.parametrize("step", [Empty(), RawStream(), RawStream(b": only a comment\n\n")])
def test_an_answer_without_any_event(provider: ScriptedProvider, step: Any) -> None:
    """A 200 that holds no event is the provider's fault, and may be tried again."""
    assert "empty answer" in refusal(provider, step).message


@pytest.mark.parametrize("end", [DONE, b""], ids=["[DONE]", "a clean end"])
def test_an_answer_without_a_finish_reason(
    provider: ScriptedProvider, caplog: pytest.LogCaptureFixture, end: bytes
) -> None:
    """Text whose server ended the stream in order is an answer, and a line in the log says what was missing."""
    provider.default = RawStream(event({"content": "a"}), end)
    found = deltas(provider.base_url)
    assert (text_of(found), completed(found).finish_reason) == ("a", "stop")
    assert "without a finish reason" in caplog.text


@pytest.mark.parametrize("delta", [{"role": "assistant", "content": ""}, {"reasoning_content": "hm"}])
def test_an_answer_that_says_nothing_is_not_asked_for_again(provider: ScriptedProvider, delta: Any) -> None:
    """No word, no call and no finish reason: it was paid for, and another one would be, too."""
    provider.enqueue(RawStream(event(delta), DONE))
    with pytest.raises(ProviderError, match="without a word") as raised:
        deltas(provider.base_url)
    assert not raised.value.retryable


@pytest.mark.parametrize("reset", [False, True])
def test_an_answer_that_is_cut(provider: ScriptedProvider, reset: bool) -> None:
    """A connection that closes in the middle is an error, not an end."""
    assert "was cut" in refusal(provider, Cut(1, reset=reset)).message


def test_an_error_in_the_stream(provider: ScriptedProvider) -> None:
    """The provider's own words reach the caller."""
    assert "scripted failed: out of memory" in refusal(provider, ErrorInStream("out of memory")).message


@pytest.mark.parametrize(
    "data",
    [
        b"{",
        b"nonsense",
        b"[]",
        b"5",
        b'"text"',
        b"\xff\xfe",
        b'{"choices":5}',
        b'{"choices":["a"]}',
        b'{"choices":[{"delta":"a"}]}',
        b'{"choices":[{"delta":{"content":5}}]}',
        b'{"choices":[{"delta":{"content":["a"]}}]}',
        b'{"choices":[{"finish_reason":["stop"]}]}',
        b'{"choices":[{"delta":{"tool_calls":5}}]}',
        b'{"choices":[{"delta":{"tool_calls":["a"]}}]}',
        b'{"choices":[{"delta":{"tool_calls":[{"index":[0],"function":{"name":"a"}}]}}]}',
        b'{"choices":[{"delta":{"tool_calls":[{"id":[5],"function":{"name":"a"}}]}}]}',
        b'{"choices":[{"delta":{"tool_calls":[{"id":"a","function":{"name":5}}]}}]}',
        b'{"choices":[{"delta":{"tool_calls":[{"id":"a","function":{"name":"a","arguments":5}}]}}]}',
        b"[" * 100_000,
        b'{"a":' * 100_000,
    ],
    ids=lambda data: data[:30].decode(errors="replace"),
)
def test_events_of_an_unknown_shape(provider: ScriptedProvider, data: bytes) -> None:
    """Whatever a provider sends, the fault is told as the provider's."""
    assert refusal(provider, RawStream(b"data: " + data + b"\n\n", FINISH, DONE)).status == 502


@pytest.mark.parametrize(
    "data",
    [
        {"choices": None},
        {"choices": [None]},
        {"choices": [{"index": 0, "delta": None}]},
        {"choices": [{"index": 0, "message": None, "finish_reason": None}]},
        {"choices": [{"index": 0, "delta": {"content": None, "tool_calls": None, "refusal": None}}]},
        {"choices": [{"index": 0, "delta": {"content": [None]}}]},
        {"choices": [{"index": 0, "delta": {"tool_calls": [None], "function_call": None}}]},
        {"choices": [{"index": 0, "delta": {"reasoning_details": None, "reasoning_content": None}}]},
        {"choices": [{"index": 0, "delta": {}, "error": None, "usage": None}], "error": None, "usage": None},
    ],
)
def test_what_is_null_says_nothing(provider: ScriptedProvider, data: Any) -> None:
    """Text is whole before and behind an event whose members are null."""
    odd = b"data: " + json.dumps(data).encode() + b"\n\n"
    provider.default = RawStream(event({"content": "a"}), odd, event({"content": "b"}), FINISH, DONE)
    assert text_of(deltas(provider.base_url)) == "ab"


def test_silence_in_the_middle(provider: ScriptedProvider) -> None:
    """A provider that says nothing for its time is a timeout of its own kind, with the time in the message."""
    provider.default = HangAfterHeaders()
    stream = OpenAICompletions(upstream(provider.base_url, timeout=0.05)).stream(call())
    with pytest.raises(ProviderTimeout, match=r"0\.05 s") as refused:
        collected(stream)
    assert not refused.value.retryable


def test_tokens_come_as_they_are_made(provider: ScriptedProvider) -> None:
    """A token is delivered while the provider holds the next one back."""
    hold = threading.Event()
    provider.default = Reply("first", " second", hold=hold, hold_at=1)
    stream = OpenAICompletions(upstream(provider.base_url)).stream(call())
    with gevent.Timeout(5):
        assert [next(stream), next(stream)] == [Began(), TextDelta("first")]
        hold.set()
        assert text_of(stream) == " second"


# Closing.


@pytest.mark.parametrize("read", [1, 2])
def test_closing_the_iterator_closes_the_connection(provider: ScriptedProvider, read: int) -> None:
    """Whoever stops reading stops the model: the provider sees its connection close within half a second."""
    provider.default = Reply("a", "b", hold=threading.Event(), hold_at=1)
    stream = OpenAICompletions(upstream(provider.base_url)).stream(call())
    for _ in range(read):
        next(stream)
    stream.close()  # type: ignore[attr-defined]
    assert provider.requests[0].closed.wait(0.5)


@pytest.mark.parametrize("step", [scripted.Hang(), HangAfterHeaders()])
def test_killing_the_reader_closes_the_connection(provider: ScriptedProvider, step: Any) -> None:
    """A greenlet that is killed while it waits for the provider leaves no connection behind."""
    provider.default = step
    connections = upstream(provider.base_url)
    reader = gevent.spawn(lambda: list(OpenAICompletions(connections).stream(call())))
    with gevent.Timeout(5):
        while not provider.requests:
            gevent.sleep(0.002)
    reader.kill()
    assert provider.requests[0].closed.wait(0.5)
