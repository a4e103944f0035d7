"""The kinds of the other tables where they were not reported yet: in the other formats, places and directions."""

from __future__ import annotations

import gzip
import json
import zlib
from typing import Any

from tests.wire.case import (
    PARIS,
    TOOLS,
    USAGE,
    Case,
    Sent,
    as_json,
    call_delta,
    chat,
    chunk,
    completion,
    data,
    fragment,
    http,
    named,
    stream,
    usage_chunk,
)
from tests.wire.formats import block, closed, opened, responses, text_block

ASKED = {"tools": TOOLS}
PARIS_CALL = [("get_weather", PARIS)]
LS = '{"path":"."}'


def call_item(**more: Any) -> dict[str, Any]:
    return {"type": "function_call", "id": "fc_1", "call_id": "call_1", "name": "get_weather", **more}


def responses_json(*output: dict[str, Any], **more: Any) -> bytes:
    usage = {"input_tokens": 11, "output_tokens": 5}
    return as_json({"object": "response", "status": "completed", "output": list(output), "usage": usage, **more})


def message_json(*content: dict[str, Any], reason: str = "end_turn") -> bytes:
    usage = {"input_tokens": 11, "output_tokens": 5}
    return as_json(
        {"type": "message", "role": "assistant", "content": list(content), "stop_reason": reason, "usage": usage}
    )


def no_argument_was_lost(sent: Sent) -> None:
    [call] = sent[1]["messages"][-2]["tool_calls"]
    assert json.loads(call["function"]["arguments"]) == {"path": "."}


def thoughts_went_back(sent: Sent) -> None:
    assert sent[1]["messages"][-2]["reasoning_content"] == "I look."
    assert all("reasoning_content" not in message for message in sent[0]["messages"])


TOOL_CALLS = {
    "one call in a JSON body": Case(
        request=ASKED,
        answers=[
            as_json(
                completion(
                    {
                        "content": None,
                        "tool_calls": [
                            {"id": "a", "type": "function", "function": {"name": "get_weather", "arguments": PARIS}}
                        ],
                    },
                    "tool_calls",
                )
            )
        ],
        calls=PARIS_CALL,
    ),
    "two calls of one tool in a JSON body, without ids and indexes": Case(
        request=ASKED,
        answers=[
            as_json(
                completion(
                    {"content": None, "tool_calls": [{"function": {"name": "get_time", "arguments": {}}}] * 2},
                    "tool_calls",
                )
            )
        ],
        calls=[("get_time", "{}")] * 2,
    ),
    "function_call in fragments": Case(
        request=ASKED,
        answers=[
            chat(
                {"function_call": {"name": "get_weather", "arguments": ""}},
                {"function_call": {"arguments": '{"city":'}},
                {"function_call": {"arguments": '"Paris"}'}},
                finish="function_call",
            )
        ],
        calls=PARIS_CALL,
    ),
    "each fragment has a new id and the name once": Case(
        request=ASKED,
        answers=[
            chat(
                call_delta(fragment(0, "a1", "get_weather", "")),
                call_delta(fragment(0, "a2", arguments='{"city":')),
                call_delta(fragment(0, "a3", arguments='"Paris"}')),
                finish="tool_calls",
            )
        ],
        calls=PARIS_CALL,
    ),
    "arguments begin as an empty object": Case(
        request=ASKED,
        answers=[
            chat(
                call_delta(fragment(0, "a", "get_weather", "{}")),
                call_delta(fragment(0, arguments='{"city":')),
                call_delta(fragment(0, arguments='"Paris"}')),
                finish="tool_calls",
            )
        ],
        calls=PARIS_CALL,
    ),
    "arguments are JSON within JSON": Case(
        request=ASKED,
        answers=[chat(call_delta(fragment(0, "a", "get_weather", json.dumps(PARIS))), finish="tool_calls")],
        calls=PARIS_CALL,
    ),
    "a call's state that nobody could write again": Case(
        agent="coder",
        answers=[
            stream(
                data(chunk(call_delta({**fragment(0, "a", "ls", LS), "extra_content": "DEEP"}))).replace(
                    '"DEEP"', '{"a":' * 400 + "1" + "}" * 400
                )
            )
        ],
        status=502,
        error="upstream_error",
    ),
    "arguments are null": Case(
        request=ASKED,
        answers=[chat(call_delta(fragment(0, "a", "get_time", "null")), finish="tool_calls")],
        calls=[("get_time", "{}")],
    ),
    "parallel calls under one index, with ids of their own": Case(
        request=ASKED,
        answers=[
            chat(
                call_delta(fragment(0, "a", "get_weather", PARIS)),
                call_delta(fragment(0, "b", "get_weather", '{"city":"Rome"}')),
                finish="stop",
            )
        ],
        calls=[*PARIS_CALL, ("get_weather", '{"city":"Rome"}')],
    ),
    "the whole arguments again, without the id": Case(
        request=ASKED,
        answers=[
            chat(
                call_delta(fragment(0, "a", "get_weather", '{"city":')),
                call_delta(fragment(0, arguments='"Paris"}')),
                call_delta(fragment(0, name="get_weather", arguments=PARIS)),
                finish="tool_calls",
            )
        ],
        calls=PARIS_CALL,
    ),
    "a call without a name is told, not asked for again": Case(
        request=ASKED,
        answers=[chat(call_delta(fragment(0, "a", arguments=PARIS)), finish="tool_calls")],
        status=502,
        error="upstream_error",
    ),
    "a call that the length cut off": Case(
        request=ASKED,
        answers=[
            chat({"content": "Let me see."}, call_delta(fragment(0, "a", "get_weather", '{"ci')), finish="length")
        ],
        text="Let me see.",
        finish="length",
    ),
    "a whole call and [DONE] without a finish reason": Case(
        request=ASKED,
        answers=[chat(call_delta(fragment(0, "a", "get_weather", PARIS)), finish=None)],
        calls=PARIS_CALL,
    ),
    "the agent's own tool, called in cumulative fragments": Case(
        agent="coder",
        answers=[
            chat(
                call_delta(fragment(0, "a", "ls", '{"path"')),
                call_delta(fragment(0, "a", "ls", LS)),
                finish="tool_calls",
            ),
            chat({"content": "done"}),
        ],
        text="done",
        sent=no_argument_was_lost,
    ),
    "anthropic: arguments in the block's start and again in its deltas": Case(
        agent="an",
        request=ASKED,
        answers=[
            stream(
                named(
                    opened(),
                    *block(
                        0,
                        {"type": "tool_use", "id": "t1", "name": "get_weather", "input": {"city": "Paris"}},
                        {"type": "input_json_delta", "partial_json": PARIS},
                    ),
                    *closed("tool_use"),
                )
            )
        ],
        calls=PARIS_CALL,
    ),
    "anthropic: no arguments": Case(
        agent="an",
        request=ASKED,
        answers=[
            stream(
                named(
                    opened(),
                    *block(0, {"type": "tool_use", "id": "t1", "name": "get_time", "input": {}}),
                    *closed("tool_use"),
                )
            )
        ],
        calls=[("get_time", "{}")],
    ),
    "responses: arguments without output_item.added": Case(
        agent="re",
        request=ASKED,
        answers=[
            responses(
                {"type": "response.function_call_arguments.delta", "output_index": 0, "delta": '{"city":'},
                {"type": "response.function_call_arguments.delta", "output_index": 0, "delta": '"Paris"}'},
                {"type": "response.output_item.done", "output_index": 0, "item": call_item(arguments=PARIS)},
            )
        ],
        calls=PARIS_CALL,
    ),
    "responses: a call in the whole response only": Case(
        agent="re", request=ASKED, answers=[responses(output=[call_item(arguments=PARIS)])], calls=PARIS_CALL
    ),
    "responses: two calls without places and ids of their items": Case(
        agent="re",
        request=ASKED,
        answers=[
            responses(
                *[
                    {
                        "type": "response.output_item.done",
                        "item": {"type": "function_call", "call_id": id, "name": "get_time", "arguments": "{}"},
                    }
                    for id in ("c1", "c2")
                ],
                usage={"input_tokens": 11, "output_tokens": 5, "output_tokens_details": 7},
            )
        ],
        calls=[("get_time", "{}")] * 2,
        usage=(11, 5),
    ),
    "responses: a call's item that is done twice": Case(
        agent="re",
        request=ASKED,
        answers=[
            responses(
                {"type": "response.output_item.added", "output_index": 0, "item": call_item(arguments="")},
                *[{"type": "response.output_item.done", "output_index": 0, "item": call_item(arguments=PARIS)}] * 2,
                output=[call_item(arguments=PARIS)],
            )
        ],
        calls=PARIS_CALL,
    ),
}

ANSWERS = {
    "thinking and text as parts": Case(
        answers=[
            chat(
                {"content": [{"type": "thinking", "thinking": [{"type": "text", "text": "Hm."}]}]},
                {"content": [{"type": "text", "text": "Hello"}]},
            )
        ],
        text="Hello",
        reasoning="Hm.",
    ),
    "anthropic: one JSON body": Case(
        agent="an", answers=[message_json({"type": "text", "text": "Hello"})], text="Hello", usage=(11, 5)
    ),
    "anthropic: a call in a JSON body": Case(
        agent="an",
        request=ASKED,
        answers=[
            message_json(
                {"type": "tool_use", "id": "t", "name": "get_weather", "input": {"city": "Paris"}}, reason="tool_use"
            )
        ],
        calls=PARIS_CALL,
    ),
    "responses: one JSON body": Case(
        agent="re",
        answers=[responses_json({"type": "message", "content": [{"type": "output_text", "text": "Hello"}]})],
        text="Hello",
        usage=(11, 5),
    ),
    "a JSON body in many lines": Case(
        answers=[http(json.dumps(completion({"content": "Hello"}), indent=2).encode())], text="Hello"
    ),
    "chunks as lines of JSON": Case(
        answers=[
            http(
                "\n".join(json.dumps(each) for each in (chunk({"content": "Hello"}), chunk({}, "stop"))).encode(),
                kind="application/x-ndjson",
            )
        ],
        text="Hello",
    ),
    "a clean end after text": Case(
        answers=[stream(data(chunk({"content": "Hello"}), done=False))], text="Hello", finish="stop"
    ),
    "nothing at all said": Case(
        answers=[stream(data(chunk({"role": "assistant", "content": ""})))], status=502, error="upstream_error", asked=1
    ),
    "the second of two answers": Case(
        answers=[stream(data(chunk({"content": "Hello"}), chunk({"content": "Bye"}, index=1), chunk({}, "stop")))],
        text="Hello",
    ),
}

FRAMING = {
    "lines that end in a bare CR": Case(
        answers=[stream(data(chunk({"content": "Hello"}), chunk({}, "stop")).replace("\n", "\r"))], text="Hello"
    ),
    "deflate that nobody asked for": Case(
        answers=[
            http(
                zlib.compress(data(chunk({"content": "Hello"}), chunk({}, "stop")).encode()),
                "Content-Encoding: deflate",
                kind="text/event-stream",
            )
        ],
        text="Hello",
    ),
    "an error's body in gzip": Case(
        answers=[
            http(
                gzip.compress(b'{"error":{"message":"no such thing"}}'),
                "Content-Encoding: gzip",
                status="400 Bad Request",
            )
        ],
        status=400,
        error="invalid_request_error",
        says=["no such thing"],
    ),
    "one bad byte": Case(
        answers=[
            stream(
                b'data: {"choices":[{"index":0,"delta":{"content":"a\xffb"}}]}\n\n' + data(chunk({}, "stop")).encode()
            )
        ],
        text="a\ufffdb",
    ),
    "null, a ping and events without blank lines between": Case(
        answers=[
            stream(
                "data: null\n\nevent: ping\ndata: {}\n\n: hi\n"
                + data(chunk({"content": "Hello"}), chunk({}, "stop")).replace("\n\n", "\n")
            )
        ],
        text="Hello",
    ),
    "100 and 103 before the 200": Case(
        answers=[
            stream(
                data(chunk({"content": "Hello"}), chunk({}, "stop"), usage_chunk()),
                before="HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\nLink: </x>\r\n\r\n",
            )
        ],
        text="Hello",
        usage=(11, 5),
    ),
}

ERRORS = {
    "an error as the whole body of a 200": Case(
        answers=[as_json({"error": {"message": "the rate is limited", "code": 429}})],
        status=429,
        error="rate_limit_error",
        says=["the rate is limited"],
    ),
    "an event named error without the key": Case(
        answers=[stream('event: error\ndata: {"message": "bad input", "code": "invalid_request_error"}\n\n')],
        status=400,
        error="invalid_request_error",
        says=["bad input"],
    ),
    "a key that is refused with 400": Case(
        answers=[
            as_json(
                [
                    {
                        "error": {
                            "code": 400,
                            "message": "API key not valid. Please pass a valid API key.",
                            "status": "INVALID_ARGUMENT",
                            "details": [{"reason": "API_KEY_INVALID"}],
                        }
                    }
                ],
                status="400 Bad Request",
            )
        ],
        status=502,
        error="upstream_auth_error",
    ),
    "403 for a quota": Case(
        answers=[as_json({"error": {"message": "Quota exceeded for requests per day"}}, status="403 Forbidden")],
        status=429,
        error="rate_limit_error",
        says=["Quota exceeded"],
    ),
    "403 for the region": Case(
        answers=[
            as_json(
                {
                    "error": {
                        "message": "Country, region, or territory not supported",
                        "code": "unsupported_country_region_territory",
                    }
                },
                status="403 Forbidden",
            )
        ],
        status=502,
        error="upstream_error",
        says=["region, or territory not supported"],
    ),
    "403 for the content": Case(
        answers=[as_json({"error": {"message": "Your input was flagged by moderation"}}, status="403 Forbidden")],
        status=400,
        error="invalid_request_error",
        says=["flagged by moderation"],
    ),
    "an empty account with a 500": Case(
        answers=[as_json({"error": {"message": "Insufficient balance"}}, status="500 Internal Server Error")],
        status=502,
        error="upstream_error",
        code="insufficient_quota",
    ),
    "another server's error as text within": Case(
        answers=[
            as_json(
                {
                    "error": {
                        "message": "Provider returned error",
                        "code": 400,
                        "metadata": {"raw": '{"error":{"message":"tools are not supported"}}'},
                    }
                },
                status="400 Bad Request",
            )
        ],
        status=400,
        error="invalid_request_error",
        says=["Provider returned error", "tools are not supported"],
    ),
    "anthropic: an error as a 200": Case(
        agent="an",
        answers=[as_json({"type": "error", "error": {"type": "rate_limit_error", "message": "slow down"}})],
        status=429,
        error="rate_limit_error",
        says=["slow down"],
    ),
    "responses: an error as a 200": Case(
        agent="re",
        answers=[as_json({"error": {"message": "no credit", "code": "insufficient_quota"}})],
        status=502,
        error="upstream_error",
        code="insufficient_quota",
    ),
}

STATE = {
    "reasoning that is wanted back with a result": Case(
        agent="coder",
        answers=[
            chat({"reasoning_content": "I "}, {"reasoning_content": "look."}, call_delta(fragment(0, "a", "ls", LS))),
            chat({"content": "done"}),
        ],
        text="done",
        sent=thoughts_went_back,
    ),
}

FORMATS = {
    "anthropic: a block that never began and one that ends twice": Case(
        agent="an",
        answers=[
            stream(
                named(
                    opened(),
                    {"type": "content_block_delta", "index": 0, "delta": {"type": "text_delta", "text": "Hel"}},
                    {"type": "content_block_stop", "index": 0},
                    {"type": "content_block_stop", "index": 0},
                    *text_block(1, "lo"),
                    {"type": "something_new", "index": 1},
                    *closed(),
                )
            )
        ],
        text="Hello",
        usage=(11, 5),
    ),
    "anthropic: arguments of a block that never began, after whole text": Case(
        agent="an",
        answers=[
            stream(
                named(
                    opened(),
                    *text_block(0, "Hello"),
                    {
                        "type": "content_block_delta",
                        "index": 4,
                        "delta": {"type": "input_json_delta", "partial_json": "{"},
                    },
                    *closed(),
                )
            )
        ],
        text="Hello",
    ),
    "responses: an unknown event, a tool of the server, and text twice": Case(
        agent="re",
        answers=[
            responses(
                {"type": "response.web_search_call.completed", "output_index": 0, "item_id": "ws"},
                {
                    "type": "response.output_item.done",
                    "output_index": 0,
                    "item": {"type": "web_search_call", "id": "ws"},
                },
                {"type": "response.output_text.delta", "output_index": 1, "content_index": 0, "delta": "Hello"},
                {"type": "response.output_text.done", "output_index": 1, "content_index": 0, "text": "Hello"},
                output=[
                    {"type": "web_search_call", "id": "ws"},
                    {"type": "message", "id": "m", "content": [{"type": "output_text", "text": "Hello"}]},
                ],
            )
        ],
        text="Hello",
    ),
    "responses: a refusal that only its item has": Case(
        agent="re",
        answers=[
            responses(
                {
                    "type": "response.output_item.done",
                    "output_index": 0,
                    "item": {"type": "message", "content": [{"type": "refusal", "refusal": "I can't help"}]},
                }
            )
        ],
        refusal="I can't help",
    ),
}

USAGES = {
    "usage in an extension": Case(
        answers=[stream(data(chunk({"content": "Hello"}), {**chunk({}, "stop"), "x_groq": {"usage": USAGE}}))],
        text="Hello",
        usage=(11, 5),
    ),
    "a reason of another dialect": Case(
        answers=[chat({"content": "Hello"}, finish="MAX_TOKENS")], text="Hello", finish="length"
    ),
    "a reason that says the content was filtered": Case(
        answers=[chat({"content": "Hello"}, finish="SAFETY")], text="Hello", finish="content_filter"
    ),
    "a reason that nobody knows": Case(answers=[chat({"content": "Hello"}, finish="whatever")], text="Hello"),
    "tokens as fractions": Case(
        answers=[
            stream(
                data(
                    chunk({"content": "Hello"}),
                    chunk({}, "stop"),
                    usage_chunk(prompt_tokens=11.0, completion_tokens=5.0),
                )
            )
        ],
        text="Hello",
        usage=(11, 5),
    ),
}

CASES = TOOL_CALLS | ANSWERS | FRAMING | ERRORS | STATE | FORMATS | USAGES
