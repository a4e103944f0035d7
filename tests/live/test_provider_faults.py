"""A provider that fails: what the caller is told, and how often the provider was asked."""

from __future__ import annotations

import json
import socket
import time
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from tests.live.expect import expect_envelope, expect_error
from tests.live.gateway import Answer, Gateway, config_for, wait_until
from tests.scripted import (
    Cut,
    CutBeforeHeaders,
    Empty,
    ErrorInStream,
    Hang,
    HangAfterHeaders,
    RawStream,
    Received,
    Reply,
    ScriptedProvider,
    Status,
    Step,
)

KEY = "sk-upstream-0123456789abcdef"
UPSTREAM = "upstream_error"
ALL_TRIES = 3


@pytest.fixture(scope="module")
def _faced(tmp_path_factory: pytest.TempPathFactory, _shared_provider: ScriptedProvider) -> Iterator[Gateway]:
    def provider(url: str, **more: Any) -> dict[str, Any]:
        return {"baseUrl": url, "apiKey": KEY, "models": [{"id": "m"}], **more}

    url = _shared_provider.base_url
    with socket.socket() as deaf:
        # Bound but not listening: whoever connects is refused, and nobody else can take the port.
        deaf.bind(("127.0.0.1", 0))
        nobody = f"http://127.0.0.1:{deaf.getsockname()[1]}/v1"
        providers = {"scripted": provider(url), "hasty": provider(url, timeoutSeconds=0.4), "nobody": provider(nobody)}
        agents = [
            {"id": "main", "model": "scripted/m"},
            *({"id": id, "model": f"{id}/m"} for id in ("hasty", "nobody")),
        ]
        config = config_for(url, models={"providers": providers}, agents={"list": agents})
        gateway = Gateway(tmp_path_factory.mktemp("faced") / "state", config)
        try:
            yield gateway.wait_until_up()
        finally:
            gateway.kill()


@pytest.fixture
def faced(_faced: Gateway, provider: ScriptedProvider) -> Gateway:
    """A gateway whose agents main, hasty (waits 0.4 s) and nobody (unreachable) each have a provider of that kind."""
    return _faced


def expect_failed_stream(answer: Answer, kind: str) -> list[str]:
    """Check that a stream ended with one error event and [DONE]. Gives the text that came before."""
    assert answer.status == 200
    *chunks, error = answer.chunks
    expect_envelope(error, kind)
    assert all(chunk["choices"][0]["finish_reason"] is None for chunk in chunks)
    return [text for chunk in chunks if (text := chunk["choices"][0]["delta"].get("content"))]


def raw(*events: str) -> RawStream:
    """A stream of these events and an orderly end, but no finish reason."""
    return RawStream(*(f"data: {event}\n\n".encode() for event in (*events, "[DONE]")))


# Before the provider has begun to answer: a plain HTTP error, whether a stream was asked for or not.

# step, status, type, how often the provider was asked
EARLY: dict[str, tuple[Step, int, str, int]] = {
    "400": (Status(400, "no such thing"), 400, "invalid_request_error", 1),
    "422": (Status(422), 400, "invalid_request_error", 1),
    "401": (Status(401), 502, "upstream_auth_error", 1),
    "403": (Status(403), 502, "upstream_auth_error", 1),
    "404": (Status(404), 502, UPSTREAM, 1),
    "redirect": (Status(302, headers={"Location": "http://127.0.0.1/"}), 502, UPSTREAM, 1),
    "429": (Status(429), 429, "rate_limit_error", 1),
    "500": (Status(500), 502, UPSTREAM, ALL_TRIES),
    "502 in HTML": (Status(502, body=b"<h1>Bad Gateway</h1>"), 502, UPSTREAM, ALL_TRIES),
    "503": (Status(503, headers={"Retry-After": "60"}), 502, UPSTREAM, ALL_TRIES),
    "cut before the headers": (CutBeforeHeaders(), 502, UPSTREAM, ALL_TRIES),
    "reset before the headers": (CutBeforeHeaders(reset=True), 502, UPSTREAM, ALL_TRIES),
    "cut before the first token": (Cut(after_tokens=0), 502, UPSTREAM, ALL_TRIES),
    "empty": (Empty(), 502, UPSTREAM, ALL_TRIES),
    "no body": (Status(200, body=b""), 502, UPSTREAM, ALL_TRIES),
    "a page instead of events": (Status(200, body=b"<h1>Welcome</h1>"), 502, UPSTREAM, ALL_TRIES),
    "an error in the stream": (ErrorInStream("no such thing"), 502, UPSTREAM, ALL_TRIES),
    "not JSON": (raw("{nope"), 502, UPSTREAM, ALL_TRIES),
    "not UTF-8": (RawStream(b"data: \xff\xfe\n\n"), 502, UPSTREAM, ALL_TRIES),
    "no object": (raw("[]"), 502, UPSTREAM, ALL_TRIES),
}

# It has begun, so that a stream's headers are out, but no token came: tried again, and a stream ends with the error.
BEGUN: dict[str, Step] = {
    "choices of another type": raw('{"choices":5}'),
    "a choice of another type": raw('{"choices":[5]}'),
    "text of another type": raw('{"choices":[{"delta":{"content":5}}]}'),
    "a delta of another type": raw('{"choices":[{"delta":"text"}]}'),
    "a reason of another type": raw('{"choices":[{"delta":{},"finish_reason":["stop"]}]}'),
}


Outcomes = dict[tuple[str, bool], tuple[Answer, int]]


@pytest.fixture(scope="module")
def outcomes(_faced: Gateway, _shared_provider: ScriptedProvider) -> Outcomes:
    """Each case's answer, whole and streamed, and how often the provider was asked; some at once, for retries wait."""
    steps = {name: case[0] for name, case in EARLY.items()} | {f"begun, {name}": step for name, step in BEGUN.items()}
    asked: Counter[str] = Counter()

    def step_for(received: Received) -> Step:
        text = received.body["messages"][-1]["content"]
        asked[text] += 1
        return steps[text.partition(" | ")[0]]

    def call(case: tuple[str, bool]) -> tuple[Answer, int]:
        text = f"{case[0]} | {case[1]}"
        return _faced.chat(text, stream=case[1]), asked[text]

    _shared_provider.reset()
    _shared_provider.on(step_for)
    cases = [(name, stream) for name in steps for stream in (False, True)]
    with ThreadPoolExecutor(12) as callers:
        return dict(zip(cases, callers.map(call, cases), strict=True))


@pytest.mark.parametrize("stream", [False, True], ids=["whole", "stream"])
@pytest.mark.parametrize("name", EARLY)
def test_an_early_fault_is_a_plain_error(outcomes: Outcomes, name: str, stream: bool) -> None:
    """Before anything was said a fault is an HTTP error of its own kind; only what may pass is tried again, twice."""
    _, status, kind, expected = EARLY[name]
    answer, asked = outcomes[name, stream]
    expect_error(answer, status, kind)
    assert asked == expected


@pytest.mark.parametrize("stream", [False, True], ids=["whole", "stream"])
@pytest.mark.parametrize("name", BEGUN)
def test_a_beginning_without_a_token_is_tried_again(outcomes: Outcomes, name: str, stream: bool) -> None:
    """A provider that begins and says nothing of use is asked again; at last its fault ends the call."""
    answer, asked = outcomes[f"begun, {name}", stream]
    assert asked == ALL_TRIES
    if stream:
        assert expect_failed_stream(answer, UPSTREAM) == []
    else:
        expect_error(answer, 502, UPSTREAM)


def test_a_rejected_request_has_the_providers_words(faced: Gateway, provider: ScriptedProvider) -> None:
    """What the provider finds wrong with a request is what its sender has to know, without the gateway's key."""
    provider.enqueue(Status(400, f"max_tokens is too large (key {KEY})"))
    message = expect_error(faced.chat(), 400, "invalid_request_error")
    assert "max_tokens is too large" in message
    assert KEY not in message


@pytest.mark.parametrize("status", [401, 403])
def test_a_refused_key_is_the_operators_matter(faced: Gateway, provider: ScriptedProvider, status: int) -> None:
    """The caller's own key is fine, so it's no 401; the gateway's key is neither in the answer nor in the log."""
    provider.enqueue(Status(status, f"Incorrect API key provided: {KEY}"))
    answer = faced.chat()
    message = expect_error(answer, 502, "upstream_auth_error")
    assert "models.providers.scripted.apiKey" in message
    assert KEY.encode() not in answer.body
    assert "WWW-Authenticate" not in answer.headers
    assert KEY not in faced.log


@pytest.mark.parametrize("stream", [False, True], ids=["whole", "stream"])
@pytest.mark.parametrize("retry_after", ["7", "Wed, 21 Oct 2065 07:28:00 GMT", None])
def test_a_rate_limit_is_passed_on(
    faced: Gateway, provider: ScriptedProvider, retry_after: str | None, stream: bool
) -> None:
    """The provider's Retry-After goes to the caller as it came, and the provider is not asked again."""
    provider.enqueue(Status(429, "slow down", headers={"Retry-After": retry_after} if retry_after else {}))
    answer = faced.chat(stream=stream)
    assert "slow down" in expect_error(answer, 429, "rate_limit_error")
    assert answer.headers["Retry-After"] == retry_after
    assert len(provider.requests) == 1


PASSING = [
    Status(500),
    Status(503),
    Status(408),
    CutBeforeHeaders(),
    Cut(after_tokens=0),
    Empty(),
    ErrorInStream("busy"),
]


@pytest.mark.parametrize("step", PASSING, ids=repr)
def test_a_fault_that_passes_is_not_seen(faced: Gateway, provider: ScriptedProvider, step: Step) -> None:
    """An answer at the second try is an answer like any other."""
    provider.enqueue(step)
    assert faced.chat().text == "Hello world"
    assert len(provider.requests) == 2


def test_a_retried_stream_begins_once(faced: Gateway, provider: ScriptedProvider) -> None:
    """However often the provider began, the caller sees one stream."""
    provider.enqueue(raw('{"choices":5}'), Cut(after_tokens=0))
    chunks = faced.chat(stream=True).chunks
    assert [chunk["choices"][0]["delta"] for chunk in chunks] == [
        {"role": "assistant", "content": ""},
        {"content": "Hello"},
        {"content": " world"},
        {},
    ]


@pytest.mark.parametrize("stream", [False, True], ids=["whole", "stream"])
def test_an_unreachable_provider_is_a_plain_error(faced: Gateway, stream: bool) -> None:
    """Nobody listens there: the answer says which provider, and not where the gateway looked for it."""
    answer = faced.chat(model="openclaw/nobody", stream=stream)
    message = expect_error(answer, 502, UPSTREAM)
    assert "nobody" in message
    assert "127.0.0.1" not in message


@pytest.mark.parametrize("counts", ['"5"', "[1]", "1.5", "-3", "true", "1e400", "null"])
def test_odd_usage_does_not_spoil_an_answer(faced: Gateway, provider: ScriptedProvider, counts: str) -> None:
    """A provider that counts in its own way still answers; what is no count counts nothing."""
    usage = f'{{"prompt_tokens":{counts},"completion_tokens":2,"prompt_tokens_details":{{"cached_tokens":{counts}}}}}'
    choice = '{"delta":{"content":"hi"},"finish_reason":"stop"}'
    provider.enqueue(raw(f'{{"choices":[{choice}],"usage":{usage}}}'))
    answer = faced.chat(user=f"odd usage {counts}")
    assert answer.text == "hi"
    usage = answer.json["usage"]
    assert usage.pop("prompt_tokens_details") == {"cached_tokens": 0}
    assert usage == {"prompt_tokens": 0, "completion_tokens": 2, "total_tokens": 2}


# After the first token: nothing is tried again, and a stream says how it ended.

# step, status of a whole answer, type
LATE: dict[str, tuple[Step, int, str]] = {
    "cut": (Cut(after_tokens=1), 502, UPSTREAM),
    "an error in the stream": (ErrorInStream("no such thing", ("token0 ",)), 502, UPSTREAM),
    "malformed": (raw('{"choices":[{"delta":{"content":"token0 "}}]}', "{nope"), 502, UPSTREAM),
}


@pytest.mark.parametrize(("step", "status", "kind"), LATE.values(), ids=LATE.keys())
def test_a_late_fault_fails_a_whole_answer(
    faced: Gateway, provider: ScriptedProvider, step: Step, status: int, kind: str
) -> None:
    """Half an answer is none, and the model isn't asked for another."""
    provider.enqueue(step)
    expect_error(faced.chat(), status, kind)
    assert len(provider.requests) == 1


@pytest.mark.parametrize(("step", "status", "kind"), LATE.values(), ids=LATE.keys())
def test_a_late_fault_ends_a_stream_with_an_error(
    faced: Gateway, provider: ScriptedProvider, step: Step, status: int, kind: str
) -> None:
    """The text so far, an error event, [DONE]: no finish reason, and no error text as the assistant's."""
    provider.enqueue(step)
    assert expect_failed_stream(faced.chat(stream=True), kind) == ["token0 "]
    assert len(provider.requests) == 1


# Silence.


@pytest.mark.parametrize("stream", [False, True], ids=["whole", "stream"])
@pytest.mark.parametrize("step", [Hang(), HangAfterHeaders()], ids=repr)
def test_a_silent_provider_is_a_timeout(faced: Gateway, provider: ScriptedProvider, step: Step, stream: bool) -> None:
    """Past its timeoutSeconds a provider that says nothing is given up, once, and its connection closed."""
    provider.default = step
    expect_error(faced.chat(model="openclaw/hasty", stream=stream), 504, "timeout_error")
    assert len(provider.requests) == 1
    assert provider.requests[0].closed.wait(1)


@pytest.mark.parametrize("stream", [False, True], ids=["whole", "stream"])
def test_a_provider_that_falls_silent_is_a_timeout(faced: Gateway, provider: ScriptedProvider, stream: bool) -> None:
    """The bound holds between tokens as well."""
    provider.enqueue(Reply("a", "b", delay=30))
    answer = faced.chat(model="openclaw/hasty", stream=stream)
    if stream:
        assert expect_failed_stream(answer, "timeout_error") == ["a"]
    else:
        expect_error(answer, 504, "timeout_error")


def test_a_slow_provider_is_not_silent(faced: Gateway, provider: ScriptedProvider) -> None:
    """An answer may take longer than the bound, as long as something comes within it."""
    provider.enqueue(Reply(*"abcdef", delay=0.15))
    assert faced.chat(model="openclaw/hasty").text == "abcdef"


@pytest.fixture(scope="module")
def _short(tmp_path_factory: pytest.TempPathFactory, _shared_provider: ScriptedProvider) -> Iterator[Gateway]:
    config = config_for(_shared_provider.base_url, agents={"defaults": {"timeoutSeconds": 0.5}})
    gateway = Gateway(tmp_path_factory.mktemp("short") / "state", config)
    try:
        yield gateway.wait_until_up()
    finally:
        gateway.kill()


@pytest.fixture
def short(_short: Gateway, provider: ScriptedProvider) -> Gateway:
    """A gateway that gives every run half a second."""
    return _short


@pytest.mark.parametrize("stream", [False, True], ids=["whole", "stream"])
def test_a_run_past_its_deadline_is_a_timeout(short: Gateway, provider: ScriptedProvider, stream: bool) -> None:
    """The run's own bound ends a provider that would still have time, and the next turn of the session is free."""
    provider.enqueue(Hang())
    message = expect_error(short.chat(stream=stream, user="late"), 504, "timeout_error")
    assert "agents.defaults.timeoutSeconds" in message
    assert provider.requests[0].closed.wait(1)
    assert short.chat(user="late").text == "Hello world"


@pytest.mark.parametrize("stream", [False, True], ids=["whole", "stream"])
def test_a_run_that_talks_past_its_deadline_is_a_timeout(
    short: Gateway, provider: ScriptedProvider, stream: bool
) -> None:
    """Tokens don't lengthen a run's time."""
    provider.enqueue(Reply(*"abcdefghijklmnopqrst", delay=0.1))
    answer = short.chat(stream=stream)
    if stream:
        assert expect_failed_stream(answer, "timeout_error")[:2] == ["a", "b"]
    else:
        expect_error(answer, 504, "timeout_error")


def test_a_deadline_without_room_for_a_retry_keeps_the_providers_error(
    short: Gateway, provider: ScriptedProvider
) -> None:
    """Who can't be asked again in time has had the last word."""

    def late(received: Received) -> Step:
        time.sleep(0.35)
        return Status(500)

    provider.on(late)
    expect_error(short.chat(), 502, UPSTREAM)
    assert len(provider.requests) == 1


# Connections that are kept.


def test_a_connection_that_the_provider_closed_is_not_used(faced: Gateway, provider: ScriptedProvider) -> None:
    """A provider that tired of an idle connection costs no retry and no error."""
    assert faced.chat().status == 200
    provider.drop_connections()
    wait_until(lambda: provider.open_connections == 0, "the provider's connections are gone")
    assert faced.chat().text == "Hello world"
    assert len(provider.requests) == 2


def test_a_connection_is_used_again(faced: Gateway, provider: ScriptedProvider) -> None:
    """Answers and plain refusals leave the connection fit for the next call."""
    provider.enqueue(Reply("a"), Status(400), Status(429))
    statuses = [faced.chat().status for _ in range(4)]
    assert statuses == [200, 400, 429, 200]
    assert len({received.connection_id for received in provider.requests}) == 1


def test_a_failed_call_leaves_nothing_for_the_next(faced: Gateway, provider: ScriptedProvider) -> None:
    """What a cut or abandoned answer left unread never shows up in another one."""
    provider.enqueue(ErrorInStream("x", ("old ",)), RawStream(b"data: []\n\n", b"data: " + b"x" * 20_000), Reply("new"))
    answers = [faced.chat() for _ in range(2)]
    assert [answer.status for answer in answers] == [502, 200]
    assert answers[1].text == "new"
    assert json.dumps(provider.requests[-1].body["messages"]).count("old") == 0
