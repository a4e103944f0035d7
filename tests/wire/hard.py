"""Shapes that a review found: what is lost, doubled, or told as something else when a server is odd in two ways."""

from __future__ import annotations

import json
from typing import Any

from tests.wire.case import PARIS, TOOLS, USAGE, Case, as_json, chunk, completion, data, http, named, stream
from tests.wire.formats import block, closed, opened, responses, text_block

ASKED = {"tools": TOOLS}
PARIS_CALL = [("get_weather", PARIS)]
CALL = {"id": "a", "type": "function", "function": {"name": "get_weather", "arguments": PARIS}}


def message(content: Any, finish: str | None = None, **more: Any) -> dict[str, Any]:
    """A chunk with a message in place of its delta."""
    said = {"content": content, **more}
    return {"object": "chat.completion.chunk", "choices": [{"index": 0, "message": said, "finish_reason": finish}]}


def choices(*given: dict[str, Any]) -> dict[str, Any]:
    return {"id": "x", "object": "chat.completion", "choices": list(given), "usage": USAGE}


def refused(message: str) -> Case:
    """A 400 whose words are those of the request, and tell of no key, credit or region."""
    return Case(
        answers=[as_json({"error": {"message": message}}, status="400 Bad Request")],
        status=400,
        error="invalid_request_error",
        says=[message],
    )


LOST = {
    "messages in pieces": Case(
        answers=[stream(data(message("Hello "), message("world"), chunk({}, "stop")))], text="Hello world"
    ),
    "calls in a choice beside the text": Case(
        request=ASKED,
        answers=[
            as_json(
                choices(
                    {"index": 0, "message": {"content": "I look."}, "finish_reason": "tool_calls"},
                    {"index": 1, "message": {"tool_calls": [CALL]}, "finish_reason": "tool_calls"},
                )
            )
        ],
        text="I look.",
        calls=PARIS_CALL,
    ),
    "a delta with a role and nothing else, beside a message": Case(
        answers=[
            as_json(
                choices({"index": 0, "delta": {"role": "assistant"}, **completion({"content": "Hi"})["choices"][0]})
            )
        ],
        text="Hi",
    ),
    "a call without the member function": Case(
        request=ASKED,
        answers=[
            stream(
                data(
                    chunk({"tool_calls": [{"index": 0, "id": "a", "name": "get_weather", "arguments": PARIS}]}),
                    chunk({}, "tool_calls"),
                )
            )
        ],
        calls=PARIS_CALL,
    ),
    "anthropic: arguments behind the block's end": Case(
        agent="an",
        request=ASKED,
        answers=[
            stream(
                named(
                    opened(),
                    *block(0, {"type": "tool_use", "id": "t1", "name": "get_weather", "input": {}}),
                    {
                        "type": "content_block_delta",
                        "index": 0,
                        "delta": {"type": "input_json_delta", "partial_json": PARIS},
                    },
                    *closed("tool_use"),
                )
            )
        ],
        calls=PARIS_CALL,
    ),
    "responses: a later text that stands in an earlier one": Case(
        agent="re",
        answers=[
            responses(
                *[
                    {
                        "type": "response.output_item.done",
                        "output_index": place,
                        "item": {"type": "message", "content": [{"type": "output_text", "text": text}]},
                    }
                    for place, text in enumerate(("It is OK. ", "OK"))
                ]
            )
        ],
        text="It is OK. OK",
    ),
    "responses: arguments in the added event only": Case(
        agent="re",
        request=ASKED,
        answers=[
            responses(
                {
                    "type": "response.output_item.added",
                    "output_index": 0,
                    "item": {"type": "function_call", "call_id": "a", "name": "get_weather", "arguments": PARIS},
                }
            )
        ],
        calls=PARIS_CALL,
    ),
    "responses: two calls in one place": Case(
        agent="re",
        request=ASKED,
        answers=[
            responses(
                *[
                    {
                        "type": "response.output_item.done",
                        "output_index": 0,
                        "item": {
                            "type": "function_call",
                            "id": f"f{id}",
                            "call_id": id,
                            "name": "get_weather",
                            "arguments": PARIS,
                        },
                    }
                    for id in ("a", "b")
                ]
            )
        ],
        calls=PARIS_CALL * 2,
    ),
}

DOUBLED = {
    "anthropic: a block that is begun twice": Case(
        agent="an",
        request=ASKED,
        answers=[
            stream(
                named(
                    opened(),
                    {
                        "type": "content_block_start",
                        "index": 0,
                        "content_block": {"type": "tool_use", "id": "t1", "name": "get_weather", "input": {}},
                    },
                    *block(
                        0,
                        {"type": "tool_use", "id": "t1", "name": "get_weather", "input": {}},
                        {"type": "input_json_delta", "partial_json": PARIS},
                    ),
                    *closed("tool_use"),
                )
            )
        ],
        calls=PARIS_CALL,
    ),
}

SOUND = {
    "JSON behind blanks": Case(
        answers=[http(b"\n   \n  " + json.dumps(completion({"content": "Hello"})).encode())], text="Hello"
    ),
    "an end in small letters": Case(
        answers=[stream(data(chunk({"content": "Hello"}), done=False) + "data: [done]\n\n")], text="Hello"
    ),
    "an end of its own line": Case(
        answers=[stream(data(chunk({"content": "Hello"}), done=False) + "[DONE]\n\n")], text="Hello"
    ),
    "news of a queue": Case(
        answers=[
            stream(
                data(
                    {"type": "status", "message": "Processing"},
                    {"choices": [], "detail": "queued"},
                    chunk({"content": "Hello"}),
                    chunk({}, "stop"),
                )
            )
        ],
        text="Hello",
    ),
    "a tier and a fingerprint that are no text": Case(
        answers=[
            stream(
                data(
                    chunk({"content": "Hello"}),
                    {**chunk({}, "stop"), "service_tier": ["x"], "system_fingerprint": {"a": 1}},
                )
            )
        ],
        text="Hello",
    ),
    "an odd event behind the end": Case(
        answers=[stream(data(chunk({"content": "Hello"}), chunk({}, "stop"), {"choices": 5}))], text="Hello"
    ),
    "anthropic: a signature in many pieces": Case(
        agent="an",
        answers=[
            stream(
                named(
                    opened(),
                    *block(
                        0,
                        {"type": "thinking", "thinking": ""},
                        {"type": "thinking_delta", "thinking": "Hm."},
                        *[{"type": "signature_delta", "signature": "S"}] * 50,
                    ),
                    *text_block(1, "Hello"),
                    *closed(),
                )
            )
        ],
        text="Hello",
        reasoning="Hm.",
    ),
}

WORDS_OF_THE_REQUEST = {
    "a location in a schema": refused(
        "Invalid schema for function 'f': In context=('properties', 'location'), 'default' is not allowed"
    ),
    "a country in a schema": refused("properties.country: keyword 'x' not supported"),
    "a tool named for arrears": refused("Invalid schema for function 'list_arrears'"),
    "an image that is not for everybody": refused("Failed to download image: 401 Unauthorized"),
    "a tool's text about credit": refused(
        'Tool call arguments could not be parsed: {"text":"your credit balance is too low"}'
    ),
    "a region that is out of order": Case(
        answers=[
            as_json(
                {"error": {"message": "Capacity in this region is not available, retry later"}},
                status="503 Service Unavailable",
            )
        ]
        * 3,
        status=502,
        error="upstream_error",
        says=["retry later"],
    ),
    "words that are no JSON": Case(
        answers=[http(b"max_tokens is too large", status="400 Bad Request", kind="text/plain")],
        status=400,
        error="invalid_request_error",
        says=["max_tokens is too large"],
    ),
    "lists in lists": Case(
        answers=[http(b"[" * 1000 + b"]" * 1000, status="400 Bad Request")], status=400, error="invalid_request_error"
    ),
}

CASES = LOST | DOUBLED | SOUND | WORDS_OF_THE_REQUEST
