"""Finish reasons: early, late, twice, missing, or in another dialect's words."""

from __future__ import annotations

from typing import Any

from tests.wire.case import USAGE, Case, as_json, chat, chunk, completion, data, stream, usage_chunk


def ends(reason: str, finish: str = "stop") -> Case:
    """A stream that says "Hello" and ends for this reason."""
    return Case(answers=[chat({"content": "Hello"}, finish=reason)], text="Hello", finish=finish, usage=(11, 5))


def fails(reason: str, tries: int = 1) -> Case:
    """A stream that ends for this reason before it has said anything."""
    return Case(answers=[chat(finish=reason)] * tries, status=502, error="upstream_error")


def hello(*events: Any, done: bool = True) -> Case:
    """These events say "Hello", and are the whole answer."""
    return Case(answers=[stream(data(*events, done=done))], text="Hello", usage=(11, 5))


def filtered_without_a_message(reason: str) -> dict[str, Any]:
    return {**completion({}), "choices": [{"index": 0, "finish_reason": reason}]}


PLACES = {
    # open-webui/open-webui#23929, Chevey339/kelivo#1003
    "a reason before the text": hello(
        chunk({"role": "assistant", "content": ""}, "stop"),
        chunk({"content": "Hel"}),
        chunk({"content": "lo"}),
        chunk({}, "stop"),
        usage_chunk(),
    ),
    # vllm-project/vllm#36944
    "the reason in the chunk of the last token": hello(
        chunk({"content": "Hel"}), chunk({"content": "lo"}, "stop"), usage_chunk()
    ),
    # ddalcu/mlx-serve#147, skye-harris/hass_local_openai_llm#92
    "the reason again beside the usage": Case(
        answers=[
            stream(
                data(chunk({"content": "Hello"}), chunk({}, "length"), {**chunk({}, "length"), "usage": USAGE}),
            )
        ],
        text="Hello",
        finish="length",
        usage=(11, 5),
    ),
    # sgl-project/sglang#4550
    "null to the end, then [DONE]": hello(
        chunk({"role": None, "content": "Hello"}, matched_stop=None), chunk({"content": ""}), usage_chunk()
    ),
    # earendil-works/pi#7441
    "null to the end, then the usage and no [DONE]": hello(chunk({"content": "Hello"}), usage_chunk(), done=False),
    # PowerShell/AIShell#350: KoboldCpp
    "the text null instead of null": Case(
        answers=[
            stream(
                data(
                    chunk({"content": "Hel"}, "null"),
                    chunk({"content": "lo"}, "null"),
                    chunk({}, "length"),
                    usage_chunk(),
                )
            )
        ],
        text="Hello",
        finish="length",
        usage=(11, 5),
    ),
    # adolfousier/opencrabs#1499; farion1231/cc-switch#5093: SenseNova
    "an empty reason beside each thought": Case(
        answers=[
            stream(
                data(
                    chunk({"reasoning_content": "Hm."}, ""),
                    chunk({"content": "Hello"}, ""),
                    chunk({"content": ""}, "length"),
                    usage_chunk(),
                )
            )
        ],
        text="Hello",
        reasoning="Hm.",
        finish="length",
        usage=(11, 5),
    ),
}

WORDS = {
    # simstudioai/sim#6302: Together
    "eos": ends("eos"),
    # vercel/modelfusion#343: Claude on OpenRouter
    "end_turn": ends("end_turn"),
    # simstudioai/sim#6302, docs.mistral.ai/api
    "model_length": ends("model_length", "length"),
    # simstudioai/sim#6302, docs.z.ai/api-reference/llm/chat-completion
    "sensitive": ends("sensitive", "content_filter"),
    # HKUDS/Vibe-Trading#308: Gemini
    "RECITATION": ends("RECITATION", "content_filter"),
    # api-docs.deepseek.com/api/create-chat-completion: the answer breaks off
    "insufficient_system_resource": ends("insufficient_system_resource", "length"),
    # vllm-project/vllm#57082: the engine was paused or shut down
    "abort before any text": fails("abort", 3),
    # simstudioai/sim#6302, docs.z.ai/api-reference/llm/chat-completion
    "network_error before any text": fails("network_error", 3),
}

GEMINI = {
    # ravendb/ravendb#22997
    "one JSON body whose choice has a filter's reason and no message": Case(
        answers=[as_json(filtered_without_a_message("content_filter: PROHIBITED_CONTENT"))],
        text=None,
        finish="content_filter",
        usage=(11, 5),
    ),
    # ravendb/ravendb#22997
    "a filter's reason and its category": ends("content_filter: RECITATION", "content_filter"),
    # NousResearch/hermes-agent#83882 and #11171
    "a tool call that the server itself can't read": fails("function_call_filter: MALFORMED_FUNCTION_CALL"),
    # NousResearch/hermes-agent#83882
    "one JSON body with a tool call that the server itself can't read": Case(
        answers=[as_json(completion({"content": None}, "function_call_filter: MALFORMED_FUNCTION_CALL"))],
        status=502,
        error="upstream_error",
    ),
}

CASES = {**PLACES, **WORDS, **GEMINI}
