"""Events of the Anthropic Messages format, and builders for those of the Responses API too."""

from __future__ import annotations

from typing import Any

from tests.wire.case import TOOLS, Case, Sent, http, named, stream


def opened() -> dict[str, Any]:
    """The first event of an Anthropic answer."""
    message = {"id": "m", "type": "message", "role": "assistant", "content": [], "model": "m"}
    return {"type": "message_start", "message": {**message, "usage": {"input_tokens": 11, "output_tokens": 1}}}


def block(index: int, start: dict[str, Any], *deltas: dict[str, Any]) -> list[dict[str, Any]]:
    """An Anthropic content block from its start to its stop."""
    between = [{"type": "content_block_delta", "index": index, "delta": delta} for delta in deltas]
    return [
        {"type": "content_block_start", "index": index, "content_block": start},
        *between,
        {"type": "content_block_stop", "index": index},
    ]


def text_block(index: int, text: str) -> list[dict[str, Any]]:
    return block(index, {"type": "text", "text": ""}, {"type": "text_delta", "text": text})


def closed(reason: str = "end_turn") -> list[dict[str, Any]]:
    """The last events of an Anthropic answer."""
    return [
        {
            "type": "message_delta",
            "delta": {"stop_reason": reason, "stop_sequence": None},
            "usage": {"output_tokens": 5},
        },
        {"type": "message_stop"},
    ]


def responses(*events: dict[str, Any], **response: Any) -> bytes:
    """An answer of the Responses API: these events between its first and its last."""
    usage = {"input_tokens": 11, "output_tokens": 5, "total_tokens": 16}
    last = {"id": "r", "status": "completed", "output": [], "usage": usage, **response}
    return stream(
        named(
            {"type": "response.created", "response": {"id": "r"}},
            *events,
            {"type": f"response.{last['status']}", "response": last},
        )
    )


def message(*events: Any, reason: str = "end_turn") -> bytes:
    """An Anthropic answer: these events, or lists of them, between its first and its last."""
    between = [event for part in events for event in (part if isinstance(part, list) else [part])]
    return stream(named(opened(), *between, *closed(reason)))


def thought_is_signed(sent: Sent) -> None:
    [said] = [turn for turn in sent[-1]["messages"] if turn["role"] == "assistant"]
    thought = said["content"][0]
    assert {**thought, "signature": thought.get("signature")} == {
        "type": "thinking",
        "thinking": "Hm.",
        "signature": "SIG",
    }


HELLO = text_block(0, "Hello")
OVERLOADED = {"type": "error", "error": {"details": None, "type": "overloaded_error", "message": "Overloaded"}}
SEARCH = block(
    0,
    {"type": "server_tool_use", "id": "s1", "name": "web_search", "input": {}},
    {"type": "input_json_delta", "partial_json": '{"query":"x"}'},
)
PAGE = {"type": "web_search_result", "url": "https://example.com/", "title": "X", "encrypted_content": "AAA"}
CITED = {"type": "web_search_result_location", "url": "https://example.com/", "cited_text": "Hello", "title": "X"}

ORDER = {
    # NousResearch/hermes-agent#72833
    "anthropic: blocks before message_start": Case(
        agent="an", answers=[stream(named(*HELLO, opened(), *closed()))], text="Hello", usage=(11, 5)
    ),
    # router-for-me/CLIProxyAPI#530, heyhuynhgiabuu/proxypal#20
    "anthropic: no message_start": Case(agent="an", answers=[stream(named(*HELLO, *closed()))], text="Hello"),
    # openclaw/openclaw#27388
    "anthropic: message_start within a block": Case(
        agent="an", answers=[message(HELLO[:2], opened(), HELLO[2:])], text="Hello", usage=(11, 5)
    ),
    # ggml-org/llama.cpp#18551
    "anthropic: a block that starts anew for each token": Case(
        agent="an",
        answers=[
            message(
                block(0, {"type": "thinking", "thinking": ""}, {"type": "thinking_delta", "thinking": "H"})[:-1],
                block(0, {"type": "thinking", "thinking": ""}, {"type": "thinking_delta", "thinking": "m."}),
                text_block(1, "Hel")[:-1],
                text_block(1, "lo"),
            )
        ],
        text="Hello",
        reasoning="Hm.",
    ),
    # PostHog/posthog#72287: "delta_type_mismatch"
    "anthropic: text in a block of thoughts": Case(
        agent="an",
        answers=[
            message(
                block(
                    0,
                    {"type": "thinking", "thinking": "", "signature": ""},
                    {"type": "thinking_delta", "thinking": "Hm."},
                    {"type": "text_delta", "text": "Hello"},
                )
            )
        ],
        text="Hello",
        reasoning="Hm.",
    ),
    # PostHog/posthog#72287: "Content block not found"
    "anthropic: text behind its block's stop": Case(
        agent="an",
        answers=[
            message(
                text_block(0, "Hel"),
                {"type": "content_block_delta", "index": 0, "delta": {"type": "text_delta", "text": "lo"}},
            )
        ],
        text="Hello",
    ),
    # anthropics/anthropic-sdk-python#1690
    "anthropic: indexes that leave some out": Case(
        agent="an",
        request={"tools": TOOLS},
        answers=[
            message(
                text_block(3, "Hello"),
                block(
                    1,
                    {"type": "tool_use", "id": "t1", "name": "get_weather", "input": {}},
                    {"type": "input_json_delta", "partial_json": '{"city":"Paris"}'},
                ),
                reason="tool_use",
            )
        ],
        text="Hello",
        calls=[("get_weather", '{"city":"Paris"}')],
    ),
}

BLOCKS = {
    "anthropic: a tool that its server uses": Case(
        agent="an",
        answers=[message(SEARCH, text_block(1, "Hello"))],
        text="Hello",
        usage=(11, 5),
    ),
    # platform.claude.com/docs/en/build-with-claude/streaming, citations
    "anthropic: what a search has found, and citations": Case(
        agent="an",
        answers=[
            message(
                SEARCH,
                block(1, {"type": "web_search_tool_result", "tool_use_id": "s1", "content": [PAGE]}),
                block(
                    2,
                    {"type": "text", "text": "", "citations": []},
                    {"type": "citations_delta", "citation": CITED},
                    {"type": "text_delta", "text": "Hello"},
                ),
                text_block(3, " world"),
            )
        ],
        text="Hello world",
    ),
    # anthropics/anthropic-sdk-python, types: WebSearchToolResultError
    "anthropic: a search that failed": Case(
        agent="an",
        answers=[
            message(
                SEARCH,
                block(
                    1,
                    {
                        "type": "web_search_tool_result",
                        "tool_use_id": "s1",
                        "content": {"type": "web_search_tool_result_error", "error_code": "max_uses_exceeded"},
                    },
                ),
                text_block(2, "Hello"),
            )
        ],
        text="Hello",
    ),
    # agentjido/req_llm#761
    "anthropic: a call without arguments, a ping in it": Case(
        agent="an",
        request={"tools": TOOLS},
        answers=[
            message(
                {
                    "type": "content_block_start",
                    "index": 0,
                    "content_block": {
                        "type": "tool_use",
                        "id": "t1",
                        "name": "get_time",
                        "input": {},
                        "caller": {"type": "direct"},
                    },
                },
                {"type": "ping"},
                {
                    "type": "content_block_delta",
                    "index": 0,
                    "delta": {"type": "input_json_delta", "partial_json": ""},
                },
                {"type": "content_block_stop", "index": 0},
                reason="tool_use",
            )
        ],
        calls=[("get_time", "{}")],
    ),
    # maximhq/bifrost#5638
    "anthropic: a signature beside the thought": Case(
        agent="an-coder",
        answers=[
            message(
                block(
                    0,
                    {"type": "thinking", "thinking": "", "signature": ""},
                    {"type": "thinking_delta", "thinking": "Hm."},
                    {"type": "thinking_delta", "thinking": "", "signature": "SIG"},
                ),
                block(
                    1,
                    {"type": "tool_use", "id": "t1", "name": "ls", "input": {}},
                    {"type": "input_json_delta", "partial_json": '{"path":"."}'},
                ),
                reason="tool_use",
            ),
            message(text_block(0, "done")),
        ],
        text="done",
        sent=thought_is_signed,
    ),
}

ENDS = {
    # lidge-jun/opencodex#896: AgentRouter
    "anthropic: a clean end after text": Case(
        agent="an",
        answers=[http(named(opened(), *HELLO).encode(), kind="text/event-stream")],
        text="Hello",
    ),
    # BerriAI/litellm#32475
    "anthropic: an answer without blocks": Case(agent="an", answers=[message()], text=None, usage=(11, 5)),
    # open-gsd/gsd-pi#2042, clacky-ai/openclacky#469
    "anthropic: a stop reason that nobody knows": Case(
        agent="an", answers=[message(HELLO, reason="some_day")], text="Hello"
    ),
    # open-gsd/gsd-pi#2042, prism-php/prism#1003
    "anthropic: a pause of the server's tools": Case(
        agent="an", answers=[message(SEARCH, text_block(1, "Hello"), reason="pause_turn")], text="Hello"
    ),
    # tetsuo-ai/agenc-core#2111
    "anthropic: a full context": Case(
        agent="an",
        answers=[message(HELLO, reason="model_context_window_exceeded")],
        text="Hello",
        finish="length",
    ),
    # Dicklesworthstone/pi_agent_rust#144
    "anthropic: a refusal with its details": Case(
        agent="an",
        answers=[
            stream(
                named(
                    opened(),
                    {
                        "type": "message_delta",
                        "delta": {
                            "stop_reason": "refusal",
                            "stop_sequence": None,
                            "stop_details": {"type": "refusal", "category": "cyber"},
                        },
                        "usage": {"output_tokens": 5},
                    },
                    {"type": "message_stop"},
                )
            )
        ],
        finish="content_filter",
    ),
    # farzaa/clicky#132, use-agent-os/agent-os#2118
    "anthropic: an error as the only event": Case(
        agent="an",
        answers=[stream(named(OVERLOADED))] * 3,
        status=502,
        error="upstream_error",
        says=["Overloaded"],
    ),
    # anthropics/anthropic-sdk-go#200: before any text, so another try is whole
    "anthropic: an error behind message_start": Case(
        agent="an",
        answers=[stream(named(opened(), {"type": "ping"}, OVERLOADED)), message(HELLO)],
        text="Hello",
        usage=(11, 5),
    ),
}

CASES = ORDER | BLOCKS | ENDS
