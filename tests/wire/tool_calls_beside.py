"""What stands beside tool calls in the streams of OpenAI-compatible servers: text, finish reasons, the older form."""

from __future__ import annotations

from tests.wire.case import (
    PARIS,
    Case,
    as_json,
    call_delta,
    chat,
    chunk,
    completion,
    data,
    fragment,
    stream,
    usage_chunk,
)
from tests.wire.tool_calls import ASKED, BOTH_CALLS, PARIS_CALL, UTC, told

CALL = {"id": "a", "type": "function", "function": {"name": "get_weather", "arguments": PARIS}}
TOLD = fragment(0, "a", "get_weather", PARIS)

ENDS = {
    # googleapis/python-genai#2868: Gemini; ENTERPILOT/GoModel#124: OpenAI, with tool_choice
    "stop behind a call": told(TOLD, finish="stop"),
    # neuron-core/neuron-ai#330: vLLM
    "the finish reason in the chunk of the call": Case(
        request=ASKED,
        answers=[stream(data(chunk(call_delta(TOLD), "tool_calls"), usage_chunk()))],
        calls=PARIS_CALL,
        usage=(11, 5),
    ),
    # ranxianglei/billion-context#432
    "the finish reason in the chunk of the second call": Case(
        request=ASKED,
        answers=[
            stream(
                data(
                    chunk(call_delta(TOLD)),
                    chunk(call_delta(fragment(1, "b", "get_time", UTC)), "tool_calls"),
                    usage_chunk(),
                )
            )
        ],
        calls=BOTH_CALLS,
    ),
    # vercel/ai#3953: NVIDIA NIM
    "empty arguments in the chunk of the finish reason": Case(
        request=ASKED,
        answers=[
            stream(
                data(
                    chunk(call_delta(TOLD)),
                    chunk(call_delta(fragment(0, arguments="")), "tool_calls", stop_reason=128008),
                )
            )
        ],
        calls=PARIS_CALL,
    ),
    # skye-harris/hass_local_openai_llm#92: OpenRouter
    "the finish reason twice, the second time with the usage": Case(
        request=ASKED,
        answers=[
            stream(
                data(
                    chunk(call_delta(TOLD)),
                    chunk({}, "tool_calls"),
                    {**usage_chunk(), **chunk({"role": "assistant", "content": ""}, "tool_calls")},
                )
            )
        ],
        calls=PARIS_CALL,
        usage=(11, 5),
    ),
    # HKUDS/nanobot#1555, openclaw/openclaw#97187
    "tool_calls as the reason, and no call": Case(
        request=ASKED,
        answers=[chat({"content": "Let me do it now!"}, finish="tool_calls")],
        text="Let me do it now!",
        finish="stop",
    ),
}

TEXT = {
    # Effect-TS/effect#7269: Mercury
    "null for the calls beside text": Case(
        request=ASKED,
        answers=[chat({"content": "Hel", "tool_calls": None}, {"content": "lo", "tool_calls": None})],
        text="Hello",
    ),
    # The-Vibe-Company/quivr#3514
    "an empty list of calls beside text": Case(
        request=ASKED,
        answers=[chat({"content": "Hel", "tool_calls": []}, {"content": "lo", "tool_calls": []})],
        text="Hello",
    ),
    # earendil-works/pi#4247
    "thoughts, text and a call in one delta": Case(
        request=ASKED,
        answers=[
            chat({"reasoning_content": "Hm.", "content": "Let me see.", **call_delta(TOLD)}, finish="tool_calls"),
        ],
        text="Let me see.",
        reasoning="Hm.",
        calls=PARIS_CALL,
    ),
    # earendil-works/pi#9674: GLM on Mistral
    "an empty text beside each fragment": Case(
        request=ASKED,
        answers=[
            chat(
                {"content": "", **call_delta(fragment(0, "a", "get_weather", ""))},
                {"content": "", **call_delta(fragment(0, arguments=PARIS))},
                finish="tool_calls",
            )
        ],
        calls=PARIS_CALL,
    ),
    # zeroclaw-labs/zeroclaw#2136, HKUDS/nanobot#1555: Claude on GitHub Copilot, as JSON
    "a JSON body: the text in one choice, the call in the next": Case(
        request=ASKED,
        answers=[
            as_json(
                {
                    **completion({}),
                    "choices": [
                        {
                            "finish_reason": "tool_calls",
                            "message": {"role": "assistant", "content": "Let me see."},
                        },
                        {
                            "finish_reason": "tool_calls",
                            "message": {"role": "assistant", "content": None, "tool_calls": [CALL]},
                        },
                    ],
                }
            )
        ],
        text="Let me see.",
        calls=PARIS_CALL,
    ),
}

OLDER = {
    # CangShui/workbuddy-gateway#3
    "an empty function_call behind the calls": Case(
        request=ASKED,
        answers=[
            stream(
                data(
                    chunk(call_delta(TOLD)),
                    chunk({"function_call": {"name": "", "arguments": ""}}, "tool_calls"),
                    usage_chunk(),
                )
            )
        ],
        calls=PARIS_CALL,
    ),
    # nextcloud/integration_openai#360: IONOS
    "a JSON body: null for all that was not said": Case(
        request=ASKED,
        answers=[
            as_json(
                completion(
                    {
                        "content": None,
                        "refusal": None,
                        "annotations": None,
                        "audio": None,
                        "function_call": None,
                        "tool_calls": [CALL],
                        "reasoning": None,
                        "reasoning_content": None,
                    },
                    "tool_calls",
                )
            )
        ],
        calls=PARIS_CALL,
    ),
}

CASES = {**ENDS, **TEXT, **OLDER}
