"""Answers that are no plain stream of text."""

from __future__ import annotations

from typing import Any

from tests.wire.case import USAGE, Case, as_json, chat, chunk, completion, data, stream

SAFE = {"hate": {"filtered": False, "severity": "safe"}}
CITATION = {"type": "url_citation", "url_citation": {"url": "https://example.com/", "title": "X"}}
IMAGE = {"type": "image_url", "image_url": {"url": "data:image/png;base64,AAAA"}}


def thinking(text: str) -> dict[str, Any]:
    """A thought as Mistral writes it."""
    return {"type": "thinking", "thinking": [{"type": "text", "text": text}]}


def text(text: str) -> dict[str, Any]:
    return {"type": "text", "text": text}


def thoughtful(*deltas: Any) -> Case:
    """These deltas say "Hello" and think "Hm."."""
    return Case(answers=[chat(*deltas)], text="Hello", reasoning="Hm.", usage=(11, 5))


def hello(*events: Any) -> Case:
    """These events say "Hello world"."""
    return Case(answers=[stream(data(*events))], text="Hello world")


LISTS = {
    "a reference between two pieces of text": Case(
        answers=[
            chat(
                {"content": "Hello"}, {"content": [{"type": "reference", "reference_ids": [1]}]}, {"content": " world"}
            )
        ],
        text="Hello world",
    ),
    # BerriAI/litellm#16272, vercel/ai#13703: Mistral
    "thoughts in pieces, each in a list, then text": thoughtful(
        {"role": "assistant", "content": ""},
        {"content": [thinking("H")]},
        {"content": [thinking("m.")]},
        {"content": [text("Hel")]},
        {"content": "lo"},
    ),
    # mistralai/client-python#621
    "one JSON body with a list of thoughts and text": Case(
        answers=[as_json(completion({"content": [thinking("Hm."), text("Hello")]}))], text="Hello", reasoning="Hm."
    ),
    # databricks/appkit#559: gpt-oss on Databricks
    "a summary of thoughts and text in one list": thoughtful(
        {
            "content": [
                {"type": "reasoning", "summary": [{"type": "summary_text", "text": "Hm."}]},
                text("Hel"),
            ]
        },
        {"content": [text("lo")]},
    ),
    # Laisky/one-api#44: Gemini
    "a picture in a list": Case(
        answers=[chat({"content": [text("Hello"), IMAGE]}, {"content": " world"})], text="Hello world"
    ),
    # vercel/ai#17782
    "a part of a type that nobody knows": thoughtful(
        {"content": [thinking("Hm."), {"type": "tool_reference", "tool": "x"}, text("Hello")]}
    ),
}

THOUGHTS = {
    # MoonshotAI/kimi-code#3928: StepFun
    "each thought under two names": thoughtful(
        {"content": "", "reasoning": "H", "reasoning_content": "H"},
        {"content": "", "reasoning": "m.", "reasoning_content": "m."},
        {"content": "Hello"},
    ),
    # OpenRouterTeam/ai-sdk-provider#122, MayDay-wpf/snow-app#116
    "each thought as text and as details": thoughtful(
        {"reasoning": "H", "reasoning_details": [{"type": "reasoning.summary", "summary": "H", "index": 0}]},
        {"reasoning": "m.", "reasoning_details": [{"type": "reasoning.summary", "summary": "m.", "index": 0}]},
        {"content": "Hello"},
    ),
    # MiniMax-AI/MiniMax-M2#95, BerriAI/litellm#22394
    "thoughts as details alone": thoughtful(
        {"reasoning_details": [{"type": "reasoning.text", "text": "H", "index": 0}]},
        {"reasoning_details": [{"type": "reasoning.text", "text": "m.", "index": 0}]},
        {"content": "Hello"},
    ),
    # OpenRouterTeam/ai-sdk-provider#122
    "details of which one can't be read": thoughtful(
        {"reasoning_details": [{"type": "reasoning.summary", "summary": "Hm.", "index": 0}]},
        {"reasoning_details": [{"type": "reasoning.encrypted", "data": "AAAA", "index": 0}]},
        {"content": "Hello"},
    ),
    # envoyproxy/ai-gateway#1222: Claude on Bedrock
    "thoughts as objects with a text": thoughtful(
        {"role": "assistant", "reasoning_content": {"text": "H"}},
        {"role": "assistant", "reasoning_content": {"text": "m."}},
        {"content": "Hello"},
    ),
    # earendil-works/pi#1502, BerriAI/litellm#35021: Claude on GitHub Copilot
    "thoughts as reasoning_text": thoughtful(
        {"reasoning_text": "H"}, {"reasoning_text": "m."}, {"reasoning_opaque": "AAAA"}, {"content": "Hello"}
    ),
    # docs.litellm.ai/docs/reasoning_content
    "thoughts as text and as blocks with a signature": thoughtful(
        {"reasoning_content": "Hm.", "thinking_blocks": [{"type": "thinking", "thinking": "Hm.", "signature": "S"}]},
        {"content": "Hello"},
    ),
    # vercel/ai#20203
    "an empty list of calls beside each thought": thoughtful(
        {"reasoning_content": "H", "tool_calls": []},
        {"reasoning_content": "m.", "tool_calls": []},
        {"content": "Hello", "tool_calls": []},
    ),
    # BerriAI/litellm#33938
    "a thought and text in one delta": thoughtful({"reasoning_content": "Hm.", "content": "Hello"}),
    # earendil-works/pi#9674: GLM on Mistral
    "empty text between two thoughts": thoughtful(
        {"content": [thinking("H")]}, {"content": ""}, {"content": [thinking("m.")]}, {"content": "Hello"}
    ),
    # NousResearch/hermes-agent#109205: vLLM; lmstudio-ai/lmstudio-bug-tracker#1602
    "thoughts and no text": Case(
        answers=[chat({"reasoning": "VAULT-"}, {"reasoning": "DELTA"})],
        text=None,
        reasoning="VAULT-DELTA",
        finish="stop",
        usage=(11, 5),
    ),
}

CHOICES = {
    # AbanteAI/archive-old-cli-mentat#429, meilisearch/meilisearch#6477: Azure
    "what the filter says of the prompt before all": hello(
        {
            "id": "",
            "object": "",
            "created": 0,
            "model": "",
            "choices": [],
            "system_fingerprint": None,
            "prompt_filter_results": [{"prompt_index": 0, "content_filter_results": SAFE}],
        },
        chunk({"content": "Hello"}),
        chunk({"content": " world"}),
        chunk({}, "stop"),
    ),
    # vercel/ai#15036, microsoft/autogen#6465: Azure
    "what the filter says of the text in its middle": hello(
        chunk({"content": "Hello"}),
        {"id": "", "object": "", "choices": [], "content_filter_results": SAFE},
        {
            "id": "",
            "choices": [
                {
                    "index": 0,
                    "finish_reason": None,
                    "content_filter_results": SAFE,
                    "content_filter_offsets": {"check_offset": 44, "start_offset": 44, "end_offset": 198},
                }
            ],
            "usage": None,
        },
        chunk({"content": " world"}),
        chunk({}, "stop"),
    ),
    # mudler/LocalAI#1194
    "no index, and no finish reason before the last": hello(
        {"object": "chat.completion.chunk", "choices": [{"delta": {"role": "assistant"}}]},
        {"object": "chat.completion.chunk", "choices": [{"delta": {"content": "Hello"}}]},
        {"object": "chat.completion.chunk", "choices": [{"delta": {"content": " world"}}]},
        {"object": "chat.completion.chunk", "choices": [{"delta": {}, "finish_reason": "stop"}]},
    ),
    # BerriAI/litellm#376
    "the only choice is number 1": hello(
        chunk({"content": "Hello"}, index=1), chunk({"content": " world"}, index=1), chunk({}, "stop", index=1)
    ),
    # openai/openai-agents-js#1617, OpenRouterTeam/ai-sdk-provider#167
    "citations and a picture behind the text": hello(
        chunk({"content": "Hello", "annotations": [CITATION]}),
        chunk({"content": " world"}),
        chunk({"annotations": [CITATION]}),
        chunk({"content": "", "images": [IMAGE]}),
        chunk({}, "stop"),
    ),
    # sgl-project/sglang#4550, BerriAI/liteLLM-proxy#19
    "null for all that was not said": hello(
        *(
            chunk(
                {
                    **dict.fromkeys(("role", "refusal", "function_call", "tool_calls", "audio", "reasoning_content")),
                    "content": part,
                },
                matched_stop=None,
            )
            for part in ("Hello", " world", None)
        ),
        chunk({}, "stop"),
    ),
    # Quorinex/Kiro-Go#138, posit-dev/chatlas#435: deltas are no repetitions because they are alike
    "deltas that are alike": Case(
        answers=[chat(*({"content": part} for part in ("\n", "\n", "66", "66", "6", "166")))],
        text="\n\n66666166",
    ),
}

WHOLE = {
    "one JSON body though a stream was asked for": Case(
        answers=[as_json(completion({"content": "Hello world"}))], text="Hello world", usage=(11, 5)
    ),
    "an event with a message and no delta": Case(
        answers=[stream(data({**completion({"content": "Hello world"}), "usage": USAGE}))],
        text="Hello world",
        usage=(11, 5),
    ),
    # NousResearch/hermes-agent#87750, diegosouzapw/OmniRoute#6046: Cline
    "one JSON body in an envelope": Case(
        answers=[as_json({"data": completion({"content": "Hello world"}), "success": True})],
        text="Hello world",
        usage=(11, 5),
    ),
    # mudler/LocalAI#788, simonw/llm#1697
    "one JSON body without index, finish reason and usage": Case(
        answers=[
            as_json(
                {
                    "object": "chat.completion",
                    "choices": [{"message": {"role": "assistant", "content": "Hello world"}}],
                }
            )
        ],
        text="Hello world",
        usage=(0, 0),
    ),
    # nextcloud/integration_openai#360: IONOS
    "one JSON body with null for all that was not said": Case(
        answers=[
            as_json(
                completion(
                    {
                        **dict.fromkeys(("refusal", "annotations", "audio", "function_call", "reasoning")),
                        "content": "Hello world",
                        "tool_calls": [],
                    }
                )
            )
        ],
        text="Hello world",
    ),
}

REFUSALS = {
    "a refusal": Case(
        answers=[chat({"role": "assistant", "content": None, "refusal": ""}, {"refusal": "I can't help"})],
        refusal="I can't help",
        usage=(11, 5),
    ),
    # openclaw/openclaw#102349, langchain4j/langchain4j#5814
    "a refusal in pieces": Case(
        answers=[chat({"content": None, "refusal": "I can't"}, {"refusal": " help"})], refusal="I can't help"
    ),
    # openclaw/openclaw#102349
    "one JSON body that refuses": Case(
        answers=[as_json(completion({"content": None, "refusal": "I can't help"}))], refusal="I can't help"
    ),
    # openai/openai-agents-js#1495: Azure
    "one JSON body that refuses beside an empty text": Case(
        answers=[as_json(completion({"content": "", "refusal": "I can't help"}))], refusal="I can't help"
    ),
}

CASES = {**LISTS, **THOUGHTS, **CHOICES, **WHOLE, **REFUSALS}
