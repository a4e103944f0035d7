"""Events of the Responses API."""

from __future__ import annotations

import json
from typing import Any

from tests.wire.case import PARIS, TOOLS, Case, stream
from tests.wire.formats import responses


def delta(text: str) -> dict[str, Any]:
    return {
        "type": "response.output_text.delta",
        "output_index": 0,
        "content_index": 0,
        "item_id": "x",
        "delta": text,
    }


def said(text: str) -> dict[str, Any]:
    """A message as an item of the whole response."""
    return {"type": "message", "id": "x", "content": [{"type": "output_text", "text": text}]}


def fails(error: Any) -> bytes:
    """A response that fails before it has said anything."""
    return responses(status="failed", error=error)


def error_event(**error: Any) -> bytes:
    """An error as the servers send it; the documentation has its members beside the type."""
    return stream(f"event: error\ndata: {json.dumps({'type': 'error', 'sequence_number': 2, 'error': error})}\n\n")


SAMPLES = {
    "responses: text that only the done event has": Case(
        agent="re",
        answers=[
            responses(
                {
                    "type": "response.output_text.done",
                    "output_index": 0,
                    "content_index": 0,
                    "item_id": "x",
                    "text": "Hello",
                }
            )
        ],
        text="Hello",
        usage=(11, 5),
    ),
    "responses: text that only the whole response has": Case(
        agent="re", answers=[responses(output=[said("Hello")])], text="Hello"
    ),
}

ERRORS = {
    # openai/openai-dotnet#881
    "responses: too many requests within error": Case(
        agent="re",
        answers=[
            error_event(type="too_many_requests", code="too_many_requests", message="Too Many Requests", param=None)
        ],
        status=429,
        error="rate_limit_error",
        says=["Too Many Requests"],
    ),
    # zendev-sh/goai#88
    "responses: a rate limit of tokens": Case(
        agent="re",
        answers=[
            error_event(
                type="tokens",
                code="rate_limit_exceeded",
                headers={"x-ratelimit-remaining-tokens": "4735"},
                message="Rate limit reached for gpt-4o on tokens per min (TPM): Limit 30000, Used 25265.",
            )
        ],
        status=429,
        error="rate_limit_error",
        says=["tokens per min"],
    ),
    # Effect-TS/effect#7262
    "responses: no credit, by its type alone": Case(
        agent="re",
        answers=[
            error_event(
                type="insufficient_quota",
                code="credit_balance_exhausted",
                message="You have no credits remaining. Add credits to continue using the API",
            )
        ],
        status=502,
        error="upstream_error",
        code="insufficient_quota",
        says=["no credits remaining"],
    ),
    # openai/openai-dotnet#528
    "responses: a wrong request, by its type alone": Case(
        agent="re",
        answers=[
            error_event(
                type="invalid_request_error",
                code=None,
                message="MCP server must contain 'search' and 'fetch' tools.",
                param=None,
            )
        ],
        status=400,
        error="invalid_request_error",
        says=["MCP server must contain"],
    ),
    # anomalyco/opencode#48376, openai/openai-python#3934
    "responses: an error as documented": Case(
        agent="re",
        answers=[
            stream(
                "event: error\ndata: "
                + json.dumps(
                    {
                        "type": "error",
                        "sequence_number": 4,
                        "code": "server_shutting_down",
                        "message": "Server is shutting down. Please retry your request.",
                        "param": None,
                    }
                )
                + "\n\n"
            )
        ]
        * 3,
        status=502,
        error="upstream_error",
        says=["Server is shutting down"],
    ),
    # james-6-23/codex2api#310: the same whoever is asked
    "responses: failed, too long": Case(
        agent="re",
        answers=[
            fails(
                {
                    "code": "context_length_exceeded",
                    "message": "Your input exceeds the context window of this model. Please adjust your input.",
                }
            )
        ],
        status=400,
        error="invalid_request_error",
        code="context_length_exceeded",
        says=["exceeds the context window"],
    ),
    # unslothai/unsloth#10938
    "responses: failed, a number as code": Case(
        agent="re",
        answers=[fails({"code": 400, "message": "the request exceeds the available context size"})],
        status=400,
        error="invalid_request_error",
        code="context_length_exceeded",
        says=["available context size"],
    ),
    # openai/codex#3764
    "responses: failed, the rate": Case(
        agent="re",
        answers=[fails({"code": "rate_limit_exceeded", "message": "Rate limit is exceeded. Try again in 17 seconds."})],
        status=429,
        error="rate_limit_error",
        says=["Try again in 17 seconds"],
    ),
    # Zoo-Code-Org/Zoo-Code#318: no less a failure
    "responses: failed, nothing told": Case(agent="re", answers=[fails(None)] * 3, status=502, error="upstream_error"),
    # Zoo-Code-Org/Zoo-Code#318
    "responses: response.error": Case(
        agent="re",
        answers=[
            stream(
                "event: response.error\ndata: "
                + json.dumps({"type": "response.error", "error": {"message": "the engine broke"}})
                + "\n\n"
            )
        ]
        * 3,
        status=502,
        error="upstream_error",
        says=["the engine broke"],
    ),
}

EVENTS = {
    # openai/openai-node#1964, openai-php/client#732, openai-php/client#760
    "responses: events that nobody has documented": Case(
        agent="re",
        answers=[
            responses(
                {"type": "keepalive", "sequence_number": 1},
                delta("Hello"),
                {"type": "response.rate_limits.updated", "rate_limits": [{"name": "requests", "remaining": 9}]},
                {"type": "keepalive", "sequence_number": 3},
            )
        ],
        text="Hello",
        usage=(11, 5),
    ),
    # 7836246/cursor2api#116
    "responses: events whose type is only their name, the response not in response": Case(
        agent="re",
        answers=[
            stream(
                'event: response.created\ndata: {"id": "r", "status": "in_progress"}\n\n'
                'event: response.output_text.delta\ndata: {"output_index": 0, "delta": "Hello"}\n\n'
                'event: response.completed\ndata: {"id": "r", "status": "completed", "output": [], '
                '"usage": {"input_tokens": 11, "output_tokens": 5}}\n\n'
            )
        ],
        text="Hello",
        usage=(11, 5),
    ),
    # vllm-project/vllm#24788, vllm-project/vllm#24938
    "responses: reasoning in parts of their own": Case(
        agent="re",
        answers=[
            responses(
                {
                    "type": "response.output_item.added",
                    "output_index": 0,
                    "item": {"id": "msg_1", "summary": [], "type": "reasoning", "content": None},
                },
                {
                    "type": "response.reasoning_part.added",
                    "output_index": 0,
                    "content_index": 0,
                    "item_id": "msg_1",
                    "part": {"type": "reasoning_text", "text": ""},
                },
                {
                    "type": "response.reasoning_text.delta",
                    "output_index": 0,
                    "content_index": 0,
                    "item_id": "msg_1",
                    "delta": "Hm.",
                },
                {"type": "response.reasoning_text.done", "output_index": 0, "content_index": 0, "text": "Hm."},
                {
                    "type": "response.reasoning_part.done",
                    "output_index": 0,
                    "content_index": 0,
                    "part": {"type": "reasoning_text", "text": "Hm."},
                },
                {**delta("Hello"), "output_index": 1},
            )
        ],
        text="Hello",
        reasoning="Hm.",
    ),
    # vllm-project/vllm#44608
    "responses: a call whose item has lost its id at the end": Case(
        agent="re",
        request={"tools": TOOLS},
        answers=[
            responses(
                {
                    "type": "response.output_item.added",
                    "output_index": 0,
                    "item": {"type": "function_call", "id": "fc_1", "call_id": "c", "name": "get_weather"},
                },
                {
                    "type": "response.function_call_arguments.delta",
                    "output_index": 0,
                    "item_id": "fc_1",
                    "delta": PARIS,
                },
                {
                    "type": "response.output_item.done",
                    "output_index": 0,
                    "item": {
                        "type": "function_call",
                        "id": None,
                        "item_id": "fc_1",
                        "call_id": "c",
                        "name": "get_weather",
                        "arguments": PARIS,
                    },
                },
            )
        ],
        calls=[("get_weather", PARIS)],
    ),
    # router-for-me/CLIProxyAPI#4860
    "responses: deltas and the end, no done event": Case(
        agent="re", answers=[responses(delta("Hel"), delta("lo"))], text="Hello", usage=(11, 5)
    ),
    # docs.parallel.ai/responses-api/features/streaming-events
    "responses: one delta and its citations": Case(
        agent="re",
        answers=[
            responses(
                delta("Hello"),
                {
                    "type": "response.output_text.annotation.added",
                    "output_index": 0,
                    "content_index": 0,
                    "annotation_index": 0,
                    "annotation": {"type": "url_citation", "url": "https://example.com/", "start_index": 0},
                },
                output=[said("Hello")],
            )
        ],
        text="Hello",
        usage=(11, 5),
    ),
}

ENDS = {
    # jundot/omlx#2817: cut within its thoughts, told as complete
    "responses: a message without content": Case(
        agent="re",
        answers=[
            responses(
                output=[
                    {"type": "reasoning", "id": "rs", "summary": [{"type": "summary_text", "text": "Hm."}]},
                    {"type": "message", "id": "x", "content": []},
                ]
            )
        ],
        usage=(11, 5),
    ),
    # jundot/omlx#2817: as it became
    "responses: incomplete, the length": Case(
        agent="re",
        answers=[responses(delta("Hel"), status="incomplete", incomplete_details={"reason": "max_output_tokens"})],
        text="Hel",
        finish="length",
    ),
    # NVIDIA-NeMo/Switchyard#796: openai-python's IncompleteDetails
    "responses: incomplete, filtered": Case(
        agent="re",
        answers=[responses(delta("Hel"), status="incomplete", incomplete_details={"reason": "content_filter"})],
        text="Hel",
        finish="content_filter",
    ),
}

CASES = SAMPLES | ERRORS | EVENTS | ENDS
