"""The official openai SDK, unchanged, pointed at the gateway."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable, Iterator
from typing import Any

import openai
import pytest

from tests.live.gateway import TOKEN, Gateway
from tests.scripted import Cut, Hang, Reply, ScriptedProvider, Status, Step, Usage

HI: Any = [{"role": "user", "content": "hi"}]


@pytest.fixture
def client(gateway: Gateway) -> Iterator[openai.OpenAI]:
    """A client that doesn't retry by itself."""
    with openai.OpenAI(base_url=f"{gateway.url}/v1", api_key=TOKEN, max_retries=0) as client:
        yield client


def test_create(client: openai.OpenAI, provider: ScriptedProvider) -> None:
    """An answer is the SDK's own object, with text, reason and usage."""
    provider.enqueue(Reply("Hello", " world", usage=Usage(11, 2, cached=4)))
    answer = client.chat.completions.create(model="openclaw", messages=HI, temperature=0.5, max_completion_tokens=9)
    (choice,) = answer.choices
    assert (choice.message.role, choice.message.content, choice.finish_reason) == ("assistant", "Hello world", "stop")
    assert answer.object == "chat.completion"
    assert answer.usage is not None
    assert (answer.usage.prompt_tokens, answer.usage.completion_tokens, answer.usage.total_tokens) == (11, 2, 13)
    assert answer.usage.prompt_tokens_details is not None
    assert answer.usage.prompt_tokens_details.cached_tokens == 4
    assert provider.requests[0].body["temperature"] == 0.5


def test_stream(client: openai.OpenAI, provider: ScriptedProvider) -> None:
    """Iterating a stream gives the text piece by piece and ends with the reason."""
    provider.enqueue(Reply("Hel", "lo", finish="length"))
    chunks = list(client.chat.completions.create(model="openclaw", messages=HI, stream=True))
    assert "".join(chunk.choices[0].delta.content or "" for chunk in chunks) == "Hello"
    assert chunks[0].choices[0].delta.role == "assistant"
    assert [chunk.choices[0].finish_reason for chunk in chunks][-2:] == [None, "length"]
    assert len({chunk.id for chunk in chunks}) == 1


def test_stream_with_usage(client: openai.OpenAI, provider: ScriptedProvider) -> None:
    """With include_usage the last chunk has no choice but the usage, and no other has it."""
    provider.enqueue(Reply("Hello", usage=Usage(3, 1)))
    *chunks, last = client.chat.completions.create(
        model="openclaw", messages=HI, stream=True, stream_options={"include_usage": True}
    )
    assert last.choices == []
    assert last.usage is not None
    assert last.usage.total_tokens == 4
    assert all(chunk.usage is None for chunk in chunks)


def test_the_stream_helper(client: openai.OpenAI, provider: ScriptedProvider) -> None:
    """The SDK's own accumulator makes one completion of the chunks."""
    provider.enqueue(Reply("Hel", "lo"))
    with client.chat.completions.stream(model="openclaw", messages=HI) as stream:
        text = "".join(event.delta for event in stream if event.type == "content.delta")
        completion = stream.get_final_completion()
    assert text == completion.choices[0].message.content == "Hello"
    assert completion.choices[0].finish_reason == "stop"


def test_leaving_a_stream_stops_the_model(client: openai.OpenAI, provider: ScriptedProvider) -> None:
    """Closing a stream that was not read to its end cancels the call behind it."""
    provider.enqueue(Reply(*"abcdefgh", delay=30))
    with client.chat.completions.create(model="openclaw", messages=HI, stream=True) as stream:
        next(iter(stream))
    assert provider.wait_for_request(1).closed.wait(2)


def test_a_user_is_remembered(client: openai.OpenAI, provider: ScriptedProvider) -> None:
    """The second call of a user says only what is new; the model is given the first turn too."""
    provider.enqueue(Reply("Nice to meet you."))
    for text in ("I am Ann.", "Who am I?"):
        client.chat.completions.create(model="openclaw", user="sdk-ann", messages=[{"role": "user", "content": text}])
    _, *conversation = provider.requests[1].body["messages"]
    assert [message["content"] for message in conversation] == ["I am Ann.", "Nice to meet you.", "Who am I?"]


def test_a_caller_without_a_user_is_not_remembered(client: openai.OpenAI, provider: ScriptedProvider) -> None:
    """Without it every call stands alone."""
    for _ in range(2):
        client.chat.completions.create(model="openclaw", messages=HI)
    assert len(provider.requests[1].body["messages"]) == 2


def test_models_are_listed(client: openai.OpenAI) -> None:
    """The agents are the models, and each can be looked up by the name it is listed under."""
    names = [model.id for model in client.models.list()]
    assert names == ["openclaw", "openclaw/default", "openclaw/main", "openclaw/beta"]
    for name in names:
        assert client.models.retrieve(name).id == name
    model = client.models.retrieve("openclaw/main")
    assert (model.object, model.owned_by) == ("model", "openclaw")
    assert isinstance(model.created, int)


def test_every_listed_model_answers(client: openai.OpenAI) -> None:
    """What models.list gives is what create takes, and the answer echoes it."""
    for model in client.models.list():
        assert client.chat.completions.create(model=model.id, messages=HI).model == model.id


# step, error class, status, code
FAULTS: dict[str, tuple[dict[str, Any], Step | None, type[openai.APIStatusError], int, str | None]] = {
    "400 of the gateway": ({"temperature": 3}, None, openai.BadRequestError, 400, None),
    "400 of the provider": ({}, Status(400), openai.BadRequestError, 400, None),
    "404": ({"model": "gpt-4o"}, None, openai.NotFoundError, 404, "model_not_found"),
    "429": ({}, Status(429, headers={"Retry-After": "1"}), openai.RateLimitError, 429, None),
    "502": ({}, Status(404), openai.InternalServerError, 502, None),
    "502 of the key": ({}, Status(401), openai.InternalServerError, 502, None),
}


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize(("fields", "step", "kind", "status", "code"), FAULTS.values(), ids=FAULTS.keys())
def test_an_error_is_the_sdks_own(
    client: openai.OpenAI,
    provider: ScriptedProvider,
    fields: dict[str, Any],
    step: Step | None,
    kind: type[openai.APIStatusError],
    status: int,
    code: str | None,
    stream: bool,
) -> None:
    """Each status is the class that the SDK has for it, with message, code and request id, streamed or not."""
    if step is not None:
        provider.enqueue(step)
    with pytest.raises(kind) as raised:
        client.chat.completions.create(**{"model": "openclaw", "messages": HI, "stream": stream, **fields})
    error = raised.value
    assert (error.status_code, error.code) == (status, code)
    assert error.request_id
    assert isinstance(error.body, dict)
    assert error.body["message"] in error.message


def test_a_wrong_key_is_an_authentication_error(gateway: Gateway) -> None:
    """401 is AuthenticationError, and the SDK doesn't try it again."""
    with openai.OpenAI(base_url=f"{gateway.url}/v1", api_key="wrong") as client:
        with pytest.raises(openai.AuthenticationError) as raised:
            client.models.list()
        assert raised.value.code == "invalid_api_key"


def test_a_missing_model_is_not_found(client: openai.OpenAI) -> None:
    """retrieve of a name that isn't listed is NotFoundError."""
    with pytest.raises(openai.NotFoundError) as raised:
        client.models.retrieve("openclaw/nobody")
    assert raised.value.code == "model_not_found"


def test_a_body_over_the_limit_is_told(client: openai.OpenAI) -> None:
    """A request that the SDK has not finished sending gets its 413, not a connection error."""
    with pytest.raises(openai.APIStatusError) as raised:
        client.chat.completions.create(model="openclaw", messages=[{"role": "user", "content": "x" * (21 << 20)}])
    assert raised.value.status_code == 413


def test_a_late_fault_is_raised_from_the_stream(client: openai.OpenAI, provider: ScriptedProvider) -> None:
    """A stream that breaks gives its text so far and then raises, rather than end as if it were whole."""
    provider.enqueue(Cut(after_tokens=1))
    stream = client.chat.completions.create(model="openclaw", messages=HI, stream=True)
    texts = []
    with pytest.raises(openai.APIError, match="provider scripted"):
        texts.extend(chunk.choices[0].delta.content for chunk in stream)
    assert "".join(text or "" for text in texts) == "token0 "


RETRIED = [Status(429), Status(404)]


@pytest.mark.parametrize("step", RETRIED, ids=["429", "502"])
def test_the_sdk_tries_again_by_itself(gateway: Gateway, provider: ScriptedProvider, step: Step) -> None:
    """With its default of two retries the SDK survives a fault that passes; each of its tries is one call here."""
    provider.enqueue(step)
    with openai.OpenAI(base_url=f"{gateway.url}/v1", api_key=TOKEN) as client:
        answer = client.chat.completions.create(model="openclaw", messages=HI)
    assert answer.choices[0].message.content == "Hello world"
    assert len(provider.requests) == 2


def test_the_callers_fault_is_not_tried_again(gateway: Gateway, provider: ScriptedProvider) -> None:
    """A 400 is final for the SDK's default retries too."""
    provider.default = Status(400)
    with openai.OpenAI(base_url=f"{gateway.url}/v1", api_key=TOKEN) as client, pytest.raises(openai.BadRequestError):
        client.chat.completions.create(model="openclaw", messages=HI)
    assert len(provider.requests) == 1


def test_a_timeout_stops_the_model(client: openai.OpenAI, provider: ScriptedProvider) -> None:
    """A client that gives up is APITimeoutError there, and a closed call at the provider."""
    provider.enqueue(Hang())
    with pytest.raises(openai.APITimeoutError):
        client.with_options(timeout=0.3).chat.completions.create(model="openclaw", messages=HI)
    assert provider.wait_for_request(1).closed.wait(2)


def test_raw_responses_have_the_gateways_headers(client: openai.OpenAI) -> None:
    """with_raw_response shows request id, run and session beside the parsed answer."""
    raw = client.chat.completions.with_raw_response.create(
        model="openclaw",
        messages=HI,
        user="sdk-raw",
        extra_headers={"x-request-id": "mine", "x-openclaw-agent-id": "beta"},
    )
    assert raw.headers["x-request-id"] == raw.request_id == "mine"
    assert raw.headers["x-openclaw-session-key"] == "agent:beta:openai-user:sdk-raw"
    assert raw.headers["x-openclaw-run-id"]
    assert raw.parse().choices[0].message.content == "Hello world"


def test_structured_outputs_pass(client: openai.OpenAI, provider: ScriptedProvider) -> None:
    """A json_schema goes to the provider as it was given."""
    schema = {"name": "s", "schema": {"type": "object", "properties": {"a": {"type": "integer"}}}, "strict": True}
    provider.enqueue(Reply('{"a":1}'))
    answer = client.chat.completions.create(
        model="openclaw", messages=HI, response_format={"type": "json_schema", "json_schema": schema}
    )
    assert json.loads(answer.choices[0].message.content or "") == {"a": 1}
    assert provider.requests[0].body["response_format"]["json_schema"] == schema


# The asynchronous client.


@pytest.fixture
def run(gateway: Gateway) -> Callable[[Any], Any]:
    """Runs ``work(client)`` with an asynchronous client."""

    async def main(work: Any) -> Any:
        async with openai.AsyncOpenAI(base_url=f"{gateway.url}/v1", api_key=TOKEN, max_retries=0) as client:
            return await work(client)

    return lambda work: asyncio.run(main(work))


def test_async_calls_run_side_by_side(run: Callable[[Any], Any], provider: ScriptedProvider) -> None:
    """Twenty calls at once get each its own answer."""
    provider.on(lambda received: Reply(received.body["messages"][-1]["content"].upper(), wait=0.1))

    async def work(client: openai.AsyncOpenAI) -> list[str | None]:
        calls = [
            client.chat.completions.create(model="openclaw", messages=[{"role": "user", "content": f"n{number}"}])
            for number in range(20)
        ]
        return [answer.choices[0].message.content for answer in await asyncio.gather(*calls)]

    assert run(work) == [f"N{number}" for number in range(20)]


def test_async_stream(run: Callable[[Any], Any]) -> None:
    """A stream is iterated as the synchronous one is."""

    async def work(client: openai.AsyncOpenAI) -> str:
        stream = await client.chat.completions.create(model="openclaw", messages=HI, stream=True)
        return "".join([chunk.choices[0].delta.content or "" async for chunk in stream])

    assert run(work) == "Hello world"


def test_a_cancelled_task_stops_the_model(run: Callable[[Any], Any], provider: ScriptedProvider) -> None:
    """Cancelling the task that waits closes the call at the provider."""
    provider.enqueue(Hang())

    async def work(client: openai.AsyncOpenAI) -> None:
        task = asyncio.create_task(client.chat.completions.create(model="openclaw", messages=HI))
        received = await asyncio.to_thread(provider.wait_for_request, 1)
        task.cancel()
        assert await asyncio.to_thread(received.closed.wait, 2)

    run(work)
