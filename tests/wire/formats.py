"""Events of the Anthropic Messages and the OpenAI Responses formats."""

from __future__ import annotations

from typing import Any

from tests.wire.case import Case, named, stream


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


CASES = {
    "anthropic: a tool that its server uses": Case(
        agent="an",
        answers=[
            stream(
                named(
                    opened(),
                    *block(
                        0,
                        {"type": "server_tool_use", "id": "s1", "name": "web_search", "input": {}},
                        {"type": "input_json_delta", "partial_json": '{"q":"x"}'},
                    ),
                    *text_block(1, "Hello"),
                    *closed(),
                )
            )
        ],
        text="Hello",
        usage=(11, 5),
    ),
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
        agent="re",
        answers=[
            responses(
                output=[{"type": "message", "id": "x", "content": [{"type": "output_text", "text": "Hello"}]}],
            )
        ],
        text="Hello",
    ),
}
