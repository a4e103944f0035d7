"""Tool calls in the streams of OpenAI-compatible servers: whose fragment it is, names and ids."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from tests.wire.case import PARIS, TOOLS, Case, as_json, call_delta, chat, completion, fragment

ASKED = {"tools": TOOLS}
ROME = '{"city":"Rome"}'
UTC = '{"tz":"utc"}'
PARIS_CALL = [("get_weather", PARIS)]
BOTH_CALLS = [*PARIS_CALL, ("get_time", UTC)]
WEATHER_TWICE = [*PARIS_CALL, ("get_weather", ROME)]


def told(*deltas: Any, calls: Sequence[tuple[str, str]] = PARIS_CALL, finish: str = "tool_calls", **more: Any) -> Case:
    """A stream of these fragments, a delta for each or for each list of them."""
    lists = [delta if isinstance(delta, list) else [delta] for delta in deltas]
    answer = chat(*(call_delta(*fragments) for fragments in lists), finish=finish)
    return Case(request=ASKED, answers=[answer], calls=calls, **more)


def full(
    index: int | None, id: str | int | None, name: str | None, arguments: Any, type: str | None = "function"
) -> Any:
    """A fragment with all its fields, null or not."""
    return {"index": index, "id": id, "type": type, "function": {"name": name, "arguments": arguments}}


def in_json(*calls: Any) -> Case:
    """A whole answer with these calls."""
    message = {"content": None, "tool_calls": list(calls)}
    return Case(request=ASKED, answers=[as_json(completion(message, "tool_calls"))], calls=PARIS_CALL)


def ids_are_text(answer: Mapping[str, Any]) -> None:
    assert [call["id"] for call in answer["choices"][0]["message"]["tool_calls"]] == ["123"]


def each_has_an_id(answer: Mapping[str, Any]) -> None:
    ids = [call["id"] for call in answer["choices"][0]["message"]["tool_calls"]]
    assert all(ids), ids
    assert len(set(ids)) == len(ids), ids


PLACES = {
    # vercel/ai#18333, BerriAI/litellm#32759: Bedrock
    "the first index is 1": told(fragment(1, "a", "get_weather", ""), fragment(1, arguments=PARIS)),
    # binaricat/Netcatty#3434
    "indexes that leave some out": told(
        fragment(1, "a", "get_weather", '{"city":'),
        fragment(4, "b", "get_time", '{"tz":'),
        fragment(1, arguments='"Paris"}'),
        fragment(4, arguments='"utc"}'),
        calls=BOTH_CALLS,
    ),
    # langchain4j/langchain4j#6294: Claude on Bedrock behind a proxy
    "an index below zero": told(fragment(-1, "a", "get_weather", ""), fragment(-1, arguments=PARIS)),
    # chatanywhere/GPT_API_free#254, davidmigloz/ai_clients_dart#64
    "an index of null": told(full(None, "a", "get_weather", ""), full(None, None, None, PARIS, None)),
    # QwenLM/Qwen-Agent#943, maximhq/bifrost#1829
    "fragments of two calls that take turns": told(
        [fragment(0, "a", "get_weather", ""), fragment(1, "b", "get_time", "")],
        fragment(1, arguments='{"tz"'),
        fragment(0, arguments='{"city"'),
        fragment(1, arguments=':"utc"}'),
        fragment(0, arguments=':"Paris"}'),
        calls=BOTH_CALLS,
    ),
    # oracle/langchain-oracle#254
    "fragments of two calls that only their ids tell apart": told(
        fragment(None, "a", "get_weather", ""),
        fragment(None, "b", "get_time", ""),
        fragment(None, "a", arguments=PARIS),
        fragment(None, "b", arguments=UTC),
        calls=BOTH_CALLS,
    ),
    # run-llama/llama_index#22464: no call is told twice because another is its like
    "two calls that are alike": told(
        fragment(0, "a", "get_weather", PARIS),
        fragment(1, "b", "get_weather", PARIS),
        calls=[*PARIS_CALL, *PARIS_CALL],
        checks=each_has_an_id,
    ),
    # QuantumNous/new-api#6278, mudler/LocalAI#9722
    "the whole call again under the next index and the same id": told(
        fragment(0, "a", "get_weather", ""), fragment(0, arguments=PARIS), fragment(1, "a", "get_weather", PARIS)
    ),
    # agno-agi/agno#8880: DeepSeek
    "the second call begins under the first one's index and goes on under its own": told(
        fragment(0, "a", "get_weather", ""),
        fragment(0, arguments=PARIS),
        fragment(0, "b", "get_time", ""),
        fragment(1, arguments='{"tz":'),
        fragment(1, arguments='"utc"}'),
        calls=BOTH_CALLS,
    ),
    # langchain4j/langchain4j#5209: DeepSeek
    "an empty fragment under an index of its own": told(
        fragment(0, "a", "get_weather", PARIS),
        {"index": 1, "id": "", "type": "function", "function": {"arguments": None}},
    ),
}

IDS = {
    # anomalyco/opencode#40969, symfony/ai#2220, spring-projects/spring-ai#6369: DashScope
    "an empty id in each further fragment": told(
        fragment(0, "a", "get_weather", ""),
        {"index": 0, "id": "", "type": "function", "function": {"arguments": '{"city": '}},
        {"index": 0, "id": "", "type": "function", "function": {"arguments": '"Paris"}'}},
        calls=[("get_weather", '{"city": "Paris"}')],
    ),
    # anomalyco/opencode#37841: DashScope
    "an empty id and an empty name in each further fragment": told(
        full(0, "a", "get_weather", "{"), full(0, "", "", '"city"'), full(0, "", "", ':"Paris"}')
    ),
    # sgl-project/sglang#35542, lidge-jun/opencodex#1754
    "null for the id, the name and the type in each further fragment": told(
        full(0, "a", "get_weather", ""), full(0, None, None, '{"city":', None), full(0, None, None, '"Paris"}', None)
    ),
    # SillyTavern/SillyTavern#5948: Fireworks; NousResearch/hermes-agent#11984: MiniMax on NVIDIA NIM
    "id, type and name in each fragment of the arguments": told(
        *({**full(0, "a", "get_weather", part), "name": None} for part in ("", '{"ci', 'ty":"Par', 'is"}'))
    ),
    # BerriAI/litellm#33223, anomalyco/opencode#25925: Kimi on NVIDIA NIM
    "no id at all": told(
        fragment(0, name="get_weather", arguments=""), fragment(0, arguments=PARIS), checks=each_has_an_id
    ),
    # sgl-project/sglang#7048
    "no id for the second call": told(
        fragment(0, "a", "get_weather", PARIS),
        fragment(1, name="get_time", arguments=""),
        fragment(1, arguments=UTC),
        calls=BOTH_CALLS,
        checks=each_has_an_id,
    ),
    # openai/openai-dotnet#428, vercel/ai#19091: Gemini
    "an empty id for each of two calls": told(
        [full(0, "", "get_weather", PARIS), full(1, "", "get_time", UTC)], calls=BOTH_CALLS, checks=each_has_an_id
    ),
    # Kilo-Org/kilocode#5816: MiniMax; anomalyco/opencode#24026: Kimi on NVIDIA NIM
    "an id that is a number": told(full(0, 123, "get_weather", ""), full(0, 123, None, PARIS), checks=ids_are_text),
    # HKUDS/nanobot#3943: DeepSeek, GLM; can1357/oh-my-pi#2055: MiMo, Kimi
    "one id for two calls": told(
        fragment(0, "a", "get_weather", PARIS),
        fragment(1, "a", "get_weather", ROME),
        calls=WEATHER_TWICE,
        checks=each_has_an_id,
    ),
}

NAMES = {
    "the first fragment has an empty name, the next one the real name under the same id": told(
        full(0, "call_1", "", ""), fragment(0, "call_1", "get_weather", PARIS), usage=(11, 5)
    ),
    "the id comes later than the name": told(
        fragment(0, name="get_weather", arguments=""), fragment(0, "call_1", arguments=PARIS)
    ),
    # vercel/ai#14722
    "the name comes after the arguments": told(
        fragment(0, "a", arguments='{"city":'),
        fragment(0, arguments='"Paris"}'),
        fragment(0, "a", "get_weather"),
    ),
    # vercel/ai#15879: SGLang
    "the name comes after the arguments, and there is no index": told(
        fragment(None, "a", arguments='{"city":'),
        fragment(None, "a", arguments='"Paris"}'),
        fragment(None, "a", "get_weather"),
    ),
    # continuedev/continue#5849: Gemini; openai/openai-agents-python#326
    "the name in two pieces": told(
        fragment(0, "a", "get_", ""), fragment(0, name="weather", arguments=""), fragment(0, arguments=PARIS)
    ),
    # vercel/ai#12939: Azure
    "an empty type": told(full(0, "a", "get_weather", "", ""), full(0, None, None, PARIS, "")),
    # vercel/ai#12901: Mistral on Azure
    "no type": told({"index": 0, "id": "a", "function": {"name": "get_weather", "arguments": PARIS}}),
}

ARGUMENTS = {
    "the last fragment brings the whole arguments again": told(
        fragment(0, "call_1", "get_weather", PARIS), fragment(0, "call_1", "get_weather", PARIS)
    ),
    "each fragment brings the arguments so far": told(
        *(fragment(0, "call_1", "get_weather", so_far) for so_far in ("", '{"ci', '{"city":"Par', PARIS))
    ),
    "a tool without parameters has empty arguments": told(
        fragment(0, "call_1", "get_time", ""), calls=[("get_time", "{}")]
    ),
    "a tool without parameters has no arguments": told(fragment(0, "call_1", "get_time"), calls=[("get_time", "{}")]),
    # can1357/oh-my-pi#1779: MiniMax
    "arguments that are an object": told(fragment(0, "a", "get_weather", {"city": "Paris"})),
    # ggml-org/llama.cpp#20198
    "a JSON body: arguments that are an object": in_json(full(None, "a", "get_weather", {"city": "Paris"})),
    # acon96/home-llm#349
    "name and arguments without function around them": told(
        {"index": 0, "id": "a", "name": "get_weather", "arguments": PARIS}
    ),
    # ogx-ai/ogx#5462: vLLM
    "null before the arguments": told(
        full(0, "a", "get_weather", None), fragment(0, arguments='{"city":'), fragment(0, arguments='"Paris"}')
    ),
    # QuantumNous/new-api#3326, voocel/ainovel-cli#52: DashScope
    "null behind the arguments": told(fragment(0, "a", "get_weather", PARIS), full(0, "", None, None)),
    # mcowger/plexus#759: no fragment is the whole because it is JSON
    "an empty object within a text, as a fragment of its own": told(
        fragment(0, "a", "get_weather", '{"city":"before '),
        fragment(0, arguments="{}"),
        fragment(0, arguments=' after"}'),
        calls=[("get_weather", '{"city":"before {} after"}')],
    ),
    # sgl-project/sglang#36339: what it should have been is the caller's to judge
    "arguments that are no JSON": told(
        fragment(0, "a", "get_weather", '{"city":"Par"medium", '),
        fragment(0, arguments='"days":1}'),
        calls=[("get_weather", '{"city":"Par"medium", "days":1}')],
    ),
}

CASES = {**PLACES, **IDS, **NAMES, **ARGUMENTS}
