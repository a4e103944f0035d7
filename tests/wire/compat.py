"""Keys of ``compat``: what each of them changes in what a provider is sent, and in how its answer is read.

What a key means is from openclaw/openclaw, packages/ai and docs/gateway/config-tools.md; the reports say who needs it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from tests.wire.case import TOOLS, Case, Sent, call_delta, chat, chunk, data, fragment, stream
from tests.wire.requests import AGAIN, OK, after, calling, has, ids_pair, lacks, roles
from tests.wire.state import (
    DONE,
    USER,
    brings,
    called,
    calls_weather,
    goes_back,
    result,
    said_by_assistant,
)

PARTS = [{"type": "text", "text": "one"}, {"type": "text", "text": "two"}]


def each(*looks: Any) -> Any:
    """All of these looks, one after the other."""

    def look(sent: Sent) -> None:
        for one in looks:
            one(sent)

    return look


def nine_letters_and_digits(id: str) -> bool:
    return len(id) == 9 and id.isalnum() and id.isascii()


def an_answer_between(sent: Sent) -> None:
    assert roles(sent)[1:] == ["user", "assistant", "tool", "assistant", "user"]
    assert sent[-1]["messages"][-2]["content"]


def result_is_named(sent: Sent) -> None:
    assert sent[-1]["messages"][-1]["name"] == "get_weather"


def all_text_is_one_string(sent: Sent) -> None:
    assert all(isinstance(message["content"], str) for message in sent[-1]["messages"])
    told = [message["content"] for message in sent[-1]["messages"] if message["role"] == "user"]
    assert all(part in told[0] for part in ("one", "two"))


def role_and_content_alone(sent: Sent) -> None:
    assert all(set(message) == {"role", "content"} for message in sent[-1]["messages"])


def no_trace_of_tools(sent: Sent) -> None:
    lacks("tools", "tool_choice")(sent)
    assert set(roles(sent)) <= {"system", "user", "assistant"}
    assert all("tool_calls" not in message for message in sent[-1]["messages"])
    assert "sunny" in str(sent[-1]["messages"])


def schemas_lack(*words: str) -> Any:
    def look(sent: Sent) -> None:
        [tool] = sent[-1]["tools"]
        assert "strict" not in tool["function"]
        schema = tool["function"]["parameters"]
        assert all(word not in node for node in nodes(schema) for word in words), schema
        # A property of that name is none of the schema's words.
        assert set(schema["properties"]) == {"city", "additionalProperties", "list"}

    return look


def nodes(schema: Mapping[str, Any]) -> Sequence[Mapping[str, Any]]:
    """The schema and those within."""
    inner = [*schema.get("properties", {}).values(), *([schema["items"]] if "items" in schema else [])]
    return [schema, *(node for one in inner for node in nodes(one))]


def thoughts_are_text(sent: Sent) -> None:
    [message] = said_by_assistant(sent)
    assert "reasoning_content" not in message
    assert "I look." in str(message["content"])
    assert message["tool_calls"]


def every_answer_has_thoughts(sent: Sent) -> None:
    assert [message.get("reasoning_content") for message in said_by_assistant(sent)] == ["I look.", ""]


SCHEMA = {
    "type": "object",
    "$schema": "http://json-schema.org/draft-07/schema#",
    "properties": {
        "city": {"type": "string"},
        "additionalProperties": {"type": "boolean"},
        "list": {"type": "array", "items": {"type": "object", "properties": {}, "additionalProperties": False}},
    },
    "additionalProperties": False,
}
STRICT = [{"type": "function", "function": {"name": "get_weather", "parameters": SCHEMA, "strict": True}}]

MESSAGES = {
    # nearai/ironclaw#1241: "must be a-z, A-Z, 0-9, with a length of 9"
    "requiresMistralToolIds: ids of other servers' calls": Case(
        agent="mistral",
        request=after(
            calling(
                called("call_00_abcdefghijkl"), called("call_00_abcdefghijkm"), called("toolu_1"), called("a1B2c3D4e")
            ),
            *(result(id) for id in ("call_00_abcdefghijkl", "call_00_abcdefghijkm", "toolu_1", "a1B2c3D4e")),
        ),
        answers=[OK],
        text="ok",
        sent=ids_pair(nine_letters_and_digits),
    ),
    "requiresMistralToolIds: an id that is fine stays": Case(
        agent="mistral",
        request=after(calling(called("6b17b9368")), result("6b17b9368")),
        answers=[OK],
        text="ok",
        sent=ids_pair(lambda id: id == "6b17b9368"),
    ),
    # avante-corp/avante.nvim#2562, aliou/pi-neuralwatt#12: "Unexpected role 'user' after role 'tool'"
    "requiresAssistantAfterToolResult": Case(
        agent="mistral",
        request=after(calling(called("6b17b9368")), result("6b17b9368"), AGAIN),
        answers=[OK],
        text="ok",
        sent=an_answer_between,
    ),
    "requiresToolResultName": Case(
        agent="mistral",
        request=after(calling(called("6b17b9368")), result("6b17b9368")),
        answers=[OK],
        text="ok",
        sent=result_is_named,
    ),
    # cline/cline#247, BerriAI/litellm#6642, CherryHQ/cherry-studio#3474: "invalid type: sequence, expected a string"
    "requiresStringContent": Case(
        agent="plain",
        request={"messages": [{"role": "user", "content": PARTS}, {"role": "assistant", "content": PARTS}, AGAIN]},
        answers=[OK],
        text="ok",
        sent=all_text_is_one_string,
    ),
    "strictMessageKeys": Case(
        agent="plain",
        request={"messages": [{**USER, "name": "Ann"}, {"role": "assistant", "content": "Hello", "name": "Bo"}, AGAIN]},
        answers=[OK],
        text="ok",
        sent=role_and_content_alone,
    ),
    # Kilo-Org/kilocode#5544, Lapis0x0/obsidian-yolo#243, NousResearch/hermes-agent#25484
    "requiresReasoningContentOnAssistantMessages: a call without thoughts": Case(
        agent="deep",
        request={"tools": TOOLS},
        answers=[calls_weather(), DONE],
        then=[brings()],
        text="done",
        sent=goes_back(reasoning_content=""),
    ),
    # esengine/DeepSeek-Reasonix#8902, sipeed/picoclaw#2859: of earlier turns as well
    "requiresReasoningContentOnAssistantMessages: in the next turn": Case(
        agent="deep",
        request={"tools": TOOLS},
        answers=[calls_weather({"reasoning_content": "I look."}), DONE, OK],
        then=[brings(), {"text": "again"}],
        text="ok",
        sent=every_answer_has_thoughts,
    ),
    # Alishahryar1/free-claude-code#1136
    "requiresThinkingAsText": Case(
        agent="as-text",
        request={"tools": TOOLS},
        answers=[calls_weather({"reasoning_content": "I look."}), DONE],
        then=[brings()],
        text="done",
        sent=thoughts_are_text,
    ),
}

TOOLS_OF_CALLERS = {
    "supportsTools: false": Case(
        agent="no-tools",
        request=after(calling(called()), result(), AGAIN, tools=TOOLS, tool_choice="auto"),
        answers=[OK],
        text="ok",
        sent=no_trace_of_tools,
    ),
    # BerriAI/litellm#14330, openswarm-ai/openswarm#24
    "unsupportedToolSchemaKeywords and supportsStrictMode: false": Case(
        agent="gemini",
        request={"tools": STRICT},
        answers=[OK],
        text="ok",
        sent=schemas_lack("additionalProperties", "$schema"),
    ),
    # docs.z.ai/guides/capabilities/stream-tool
    "zaiToolStream": Case(
        agent="zai", request={"tools": TOOLS}, answers=[OK], text="ok", sent=each(has(tool_stream=True))
    ),
    "zaiToolStream without tools": Case(agent="zai", answers=[OK], text="ok", sent=lacks("tool_stream")),
    # openclaw/openclaw, extensions/xai: arguments of Grok
    "toolCallArgumentsEncoding: html-entities": Case(
        agent="html",
        request={"tools": TOOLS},
        answers=[
            chat(
                call_delta(fragment(0, "a", "get_weather", '{"city":"R&amp;D &lt;a&gt;')),
                call_delta(fragment(0, arguments=' &quot;b&quot; &#39;c&#x27;"}')),
                finish="tool_calls",
            )
        ],
        calls=[("get_weather", '{"city":"R&D <a> \\"b\\" \'c\'"}')],
    ),
}

THINKING = {
    # earendil-works/pi#3636: the switch, and how hard
    "thinkingFormat: deepseek": Case(
        agent="deep",
        request={"reasoning_effort": "high"},
        answers=[OK],
        text="ok",
        sent=has(thinking={"type": "enabled"}, reasoning_effort="high"),
    ),
    "thinkingFormat: deepseek, off": Case(
        agent="deep",
        request={"reasoning_effort": "none"},
        answers=[OK],
        text="ok",
        sent=each(has(thinking={"type": "disabled"}), lacks("reasoning_effort")),
    ),
    # adolfousier/opencrabs#1348: thoughts of earlier steps are thrown away unless it is said
    "thinkingFormat: zai": Case(
        agent="zai",
        request={"reasoning_effort": "high"},
        answers=[OK],
        text="ok",
        sent=each(has(thinking={"type": "enabled", "clear_thinking": False}), lacks("reasoning_effort")),
    ),
    # OpenMinis/OpenMinis#361: servers refuse another's switch
    "thinkingFormat: qwen-chat-template": Case(
        agent="template",
        request={"reasoning_effort": "none"},
        answers=[OK],
        text="ok",
        sent=each(
            lambda sent: has(enable_thinking=False)([sent[-1]["chat_template_kwargs"]]),
            lacks("reasoning_effort", "enable_thinking"),
        ),
    ),
    "thinkingFormat: qwen": Case(
        agent="qwen",
        request={"reasoning_effort": "low"},
        answers=[OK],
        text="ok",
        sent=each(has(enable_thinking=True), lacks("reasoning_effort")),
    ),
    # openrouter.ai/docs/use-cases/reasoning-tokens
    "thinkingFormat: openrouter, reasoningEffortMap": Case(
        agent="router",
        request={"reasoning_effort": "xhigh"},
        answers=[OK],
        text="ok",
        sent=each(has(reasoning={"effort": "MAX"}), lacks("reasoning_effort")),
    ),
    # clacky-ai/openclacky#397: an effort that the server hasn't is not forgotten, the nearest is told
    "supportedReasoningEfforts": Case(
        agent="router",
        request={"reasoning_effort": "minimal"},
        answers=[OK],
        text="ok",
        sent=has(reasoning={"effort": "low"}),
    ),
    "openRouterRouting": Case(
        agent="routed",
        answers=[OK],
        text="ok",
        sent=has(
            provider={"order": ["anthropic"], "allow_fallbacks": False, "sort": {"by": "price", "partition": None}}
        ),
    ),
}

FIELDS = {
    # platform.openai.com/docs/api-reference/chat/create: its reasoning models refuse max_tokens
    "maxTokensField": Case(
        agent="router",
        request={"max_tokens": 100},
        answers=[OK],
        text="ok",
        sent=each(has(max_completion_tokens=100), lacks("max_tokens")),
    ),
    # Xinkai-Ma in JohnnyZ93/oai-compatible-copilot#81
    "supportsTemperature: false": Case(
        agent="plain", request={"temperature": 0.5, "top_p": 0.9}, answers=[OK], text="ok", sent=lacks("temperature")
    ),
    # the same server, and usage that comes all the same
    "supportsUsageInStreaming: false": Case(
        agent="no-usage",
        answers=[
            stream(data({**chunk({"content": "Hello"}, "stop"), "usage": {"prompt_tokens": 1, "completion_tokens": 2}}))
        ],
        text="Hello",
        usage=(1, 2),
        sent=lacks("stream_options"),
    ),
}

CASES = {**MESSAGES, **TOOLS_OF_CALLERS, **THINKING, **FIELDS}
