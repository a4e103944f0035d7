"""One step in the three wire formats: what OpenAI's own library and the gateway's providers read of each."""

from __future__ import annotations

import json
import time
from typing import Any

import openai
import pytest

from app.config.settings import Model
from app.errors import ProviderError
from app.providers.anthropic_messages import AnthropicMessages
from app.providers.openai_completions import OpenAICompletions
from app.providers.openai_responses import OpenAIResponses
from app.providers.stream import Completed, Delta, ModelCall, Provider, TextDelta, ToolCallDelta
from app.providers.upstream import Upstream
from tests import scripted
from tests.scripted import Cut, ErrorInStream, Reply, ScriptedProvider, Status, ToolCall, signature

THINKER = Model(id="claude-opus-4-6", name="", reasoning=True)
THREE = {
    "openai-completions": OpenAICompletions,
    "anthropic-messages": lambda upstream: AnthropicMessages(upstream, THINKER),
    "openai-responses": lambda upstream: OpenAIResponses(upstream, THINKER),
}
STEP = Reply(
    "Let me ",
    "see.",
    reasoning=("hm", ", yes"),
    tool_calls=(ToolCall("call_1", "weather", '{"city":', '"Oslo"}'), ToolCall("call_2", "clock", "{}")),
    finish="tool_calls",
    usage=scripted.Usage(7, 2, cached=3),
)


@pytest.fixture(params=THREE)
def api(request: pytest.FixtureRequest) -> str:
    return str(request.param)


def ask(provider: ScriptedProvider, api: str, *messages: dict[str, Any]) -> list[Delta]:
    upstream = Upstream("scripted", provider.base_url, {}, 5.0)
    speaker: Provider = THREE[api](upstream)  # type: ignore[operator]
    given = messages or ({"role": "user", "content": "hi"},)
    try:
        return list(speaker.stream(ModelCall(THINKER.id, given, time.monotonic() + 5)))
    finally:
        upstream.close()


def test_the_same_step_is_the_same_answer(provider: ScriptedProvider, api: str) -> None:
    """Text, thoughts, calls, usage and end are those of the step, whichever format was asked for."""
    provider.default = STEP
    found = ask(provider, api)
    last = found[-1]
    assert "".join(delta.text for delta in found if isinstance(delta, TextDelta)) == "Let me see."
    assert [delta for delta in found if isinstance(delta, ToolCallDelta)] == [
        ToolCallDelta(0, "call_1", "weather"),
        ToolCallDelta(0, arguments='{"city":'),
        ToolCallDelta(0, arguments='"Oslo"}'),
        ToolCallDelta(1, "call_2", "clock"),
        ToolCallDelta(1, arguments="{}"),
    ]
    assert isinstance(last, Completed)
    assert (last.finish_reason, last.usage[:3]) == ("tool_calls", (7, 2, 3))
    assert provider.requests[0].api == api


@pytest.mark.parametrize("finish", ["stop", "length", "content_filter"])
def test_the_end_is_that_of_the_step(provider: ScriptedProvider, api: str, finish: str) -> None:
    """OpenAI's word for it is understood in all formats."""
    provider.default = Reply("a", finish=finish)
    last = ask(provider, api)[-1]
    assert isinstance(last, Completed)
    assert last.finish_reason == finish


@pytest.mark.parametrize("step", [Cut(), Reply("a", tool_calls=STEP.tool_calls, cut=True)])
def test_a_cut_is_one_in_every_format(provider: ScriptedProvider, api: str, step: Any) -> None:
    """What came before it was read; then the connection is gone."""
    provider.default = step
    with pytest.raises(ProviderError, match="was cut"):
        ask(provider, api)


@pytest.mark.parametrize("step", [Status(400, "no such thing"), ErrorInStream("no such thing", ("a",))])
def test_an_error_has_the_envelope_of_its_format(provider: ScriptedProvider, api: str, step: Any) -> None:
    """Its words are found where each format has them."""
    provider.default = step
    with pytest.raises(ProviderError, match="no such thing"):
        ask(provider, api)


def test_an_answer_goes_back_as_it_came(provider: ScriptedProvider, api: str) -> None:
    """A conversation of several steps, thoughts included, runs unchanged against each format."""
    provider.enqueue(STEP)
    last = ask(provider, api)[-1]
    assert isinstance(last, Completed)
    calls = [
        {"id": call.id, "type": "function", "function": {"name": call.name, "arguments": call.arguments}}
        for call in STEP.tool_calls
    ]
    answer = {"role": "assistant", "content": "Let me see.", "tool_calls": calls, "state": last.state}
    results = [{"role": "tool", "tool_call_id": call["id"], "content": f"of {call['id']}"} for call in calls]
    ask(provider, api, {"role": "user", "content": "hi"}, answer, *results)
    sent = provider.requests[1].raw.decode()
    assert all(text in sent for text in ("Let me see.", "weather", "Oslo", "of call_1", "of call_2"))
    assert (signature("hm, yes") in sent) is (api != "openai-completions")
    assert '"state"' not in sent


def test_openais_own_library_reads_responses(provider: ScriptedProvider) -> None:
    """The events are those that OpenAI documents: its library puts the same answer together from them."""
    provider.default = STEP
    client = openai.OpenAI(api_key="k", base_url=provider.base_url, max_retries=0)
    asked: Any = {"model": "m", "input": "hi", "include": ["reasoning.encrypted_content"]}
    with client, client.responses.stream(**asked) as stream:
        response = stream.get_final_response()
    thoughts, said, weather, clock = (item.to_dict() for item in response.output)
    assert thoughts["encrypted_content"] == signature("hm, yes")
    assert said["content"][0]["text"] == "Let me see."  # type: ignore[index]
    assert (weather["call_id"], json.loads(str(weather["arguments"]))) == ("call_1", {"city": "Oslo"})
    assert clock["name"] == "clock"
    assert response.usage is not None
    assert response.usage.total_tokens == 9
