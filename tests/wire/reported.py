"""Shapes that users of other clients and gateways reported: each with where."""

from __future__ import annotations

from typing import Any

from tests.wire.case import (
    PARIS,
    TOOLS,
    USAGE,
    Case,
    as_json,
    call_delta,
    chat,
    chunk,
    data,
    fragment,
    named,
    stream,
    usage_chunk,
)
from tests.wire.formats import block, closed, opened, responses, text_block

ASKED = {"tools": TOOLS}
ROME = '{"city":"Rome"}'
PARIS_CALL = [("get_weather", PARIS)]
BOTH_CALLS = [("get_weather", PARIS), ("get_time", '{"tz":"utc"}')]
HELLO = [chunk({"content": "Hello"}), chunk({}, "stop")]


def item(call_id: str, name: str, arguments: str, **more: Any) -> dict[str, Any]:
    return {"type": "function_call", "call_id": call_id, "name": name, "arguments": arguments, **more}


TOOL_CALLS = {
    # router-for-me/CLIProxyAPI#5058, jin-bo/agentao#117
    "two calls in one delta without indexes": Case(
        request=ASKED,
        answers=[
            chat(
                call_delta(fragment(None, "a", "get_weather", PARIS), fragment(None, "b", "get_time", '{"tz":"utc"}')),
                finish="tool_calls",
            )
        ],
        calls=BOTH_CALLS,
    ),
    # SamSaffron/term-llm#314
    "two calls without indexes whose arguments go on by position": Case(
        request=ASKED,
        answers=[
            chat(
                call_delta(fragment(None, "a", "get_weather"), fragment(None, "b", "get_time")),
                call_delta(fragment(None, arguments='{"city":'), fragment(None, arguments='{"tz":')),
                call_delta(fragment(None, arguments='"Paris"}'), fragment(None, arguments='"utc"}')),
                finish="tool_calls",
            )
        ],
        calls=BOTH_CALLS,
    ),
    # openai/openai-python#3246, AstrBotDevs/AstrBot#6692
    "one call without an index, in pieces": Case(
        request=ASKED,
        answers=[
            chat(
                call_delta(fragment(None, "a", "get_weather", "")),
                call_delta(fragment(None, arguments='{"city":')),
                call_delta(fragment(None, arguments='"Paris"}')),
                finish="tool_calls",
            )
        ],
        calls=PARIS_CALL,
    ),
    # ollama/ollama#15457, ai-dynamo/dynamo#4723, huggingface/smolagents#1958
    "the same index for each of two parallel calls, in pieces": Case(
        request=ASKED,
        answers=[
            chat(
                call_delta(fragment(0, "a", "get_weather", "")),
                call_delta(fragment(0, arguments=PARIS)),
                call_delta(fragment(0, "b", "get_weather", "")),
                call_delta(fragment(0, arguments=ROME)),
                finish="tool_calls",
            )
        ],
        calls=[*PARIS_CALL, ("get_weather", ROME)],
    ),
    # dirac-run/dirac#215
    "arguments whose index counts on": Case(
        request=ASKED,
        answers=[
            chat(
                call_delta(fragment(0, "a", "get_weather", '{"ci')),
                call_delta(fragment(1, arguments='ty":')),
                call_delta(fragment(2, arguments='"Paris"}')),
                finish="tool_calls",
            )
        ],
        calls=PARIS_CALL,
    ),
}

FINISH_AND_USAGE = {
    # sgl-project/sglang#3912, ollama/ollama#4357
    "an empty finish reason in each chunk": Case(
        answers=[stream(data(chunk({"content": "Hel"}, ""), chunk({"content": "lo"}, ""), chunk({}, "stop")))],
        text="Hello",
    ),
    # router-for-me/CLIProxyAPI#3076
    "usage of zeros until the last chunk": Case(
        answers=[
            stream(
                data(
                    {**chunk({"content": "Hello"}), "usage": {"prompt_tokens": 0, "completion_tokens": 0}},
                    {**chunk({}, "stop"), "usage": USAGE},
                )
            )
        ],
        text="Hello",
        usage=(11, 5),
    ),
    # cline/cline#11304
    "usage so far in each chunk": Case(
        answers=[
            stream(
                data(
                    {**chunk({"content": "Hel"}), "usage": {"prompt_tokens": 11, "completion_tokens": 1}},
                    {**chunk({"content": "lo"}), "usage": {"prompt_tokens": 11, "completion_tokens": 3}},
                    {**chunk({}, "stop"), "usage": USAGE},
                )
            )
        ],
        text="Hello",
        usage=(11, 5),
    ),
    # router-for-me/CLIProxyAPI#3221
    "the names of the Responses API for tokens": Case(
        answers=[stream(data({**HELLO[0], "usage": None}, HELLO[1], usage_chunk(input_tokens=11, output_tokens=5)))],
        text="Hello",
        usage=(11, 5),
    ),
}

ANSWERS = {
    # MoonshotAI/kosong#5
    "a last chunk with a null delta and the message": Case(
        answers=[
            stream(
                data(
                    chunk({"content": "Hello"}),
                    {
                        "choices": [
                            {
                                "index": 0,
                                "delta": None,
                                "finish_reason": "stop",
                                "message": {"role": "assistant", "content": "", "name": "AI", "audio_content": ""},
                            }
                        ]
                    },
                )
            )
        ],
        text="Hello",
    ),
    # the same with the whole answer in it, as the maker's own API documents its last chunk
    "a last chunk with the whole message again": Case(
        answers=[
            stream(
                data(
                    chunk({"content": "Hel", "reasoning_content": "Hm."}),
                    chunk({"content": "lo"}),
                    {
                        "choices": [
                            {
                                "finish_reason": "stop",
                                "message": {"content": "Hello", "reasoning_content": "Hm."},
                            }
                        ]
                    },
                )
            )
        ],
        text="Hello",
        reasoning="Hm.",
    ),
    # MiniMax-AI/MiniMax-M2.5#2
    "an empty role and nothing said": Case(
        answers=[stream(data(chunk({"role": "", "reasoning_content": ""}), *HELLO))], text="Hello"
    ),
    # crmne/ruby_llm#420, openclaw/openclaw#68418, NousResearch/hermes-agent#4748
    "thinking and text in one list": Case(
        answers=[
            chat(
                {"content": [{"type": "thinking", "thinking": [{"type": "text", "text": "Okay"}], "closed": True}]},
                {"content": [{"type": "text", "text": "2"}]},
            )
        ],
        text="2",
        reasoning="Okay",
    ),
    # smallmain/vscode-unify-chat-provider#29
    "a chunk without a delta": Case(
        answers=[stream(data(HELLO[0], {"choices": [{"index": 0, "finish_reason": "stop"}]}))], text="Hello"
    ),
}

FRAMING = {
    # mnfst/llm-gateway#2053
    "a comment that a proxy has made data": Case(
        answers=[stream("data: : OPENROUTER PROCESSING\n\n" + data(*HELLO))], text="Hello"
    ),
    # openai/openai-go#227
    "comments before the first chunk": Case(
        answers=[stream(": OPENROUTER PROCESSING\n\n: OPENROUTER PROCESSING\n\n" + data(*HELLO))], text="Hello"
    ),
    # netease-lcap/wave-agent#1326, caozhiyuan/copilot-api#88
    "empty data as a sign of life": Case(
        answers=[stream('data: \n\nevent: ping\ndata: ""\n\n' + data(*HELLO))], text="Hello"
    ),
    # openai/openai-python#2721
    "a retry and an id of their own": Case(answers=[stream("retry: 3000\n\nid: 1\n\n" + data(*HELLO))], text="Hello"),
    # sashabaranov/go-openai#949
    "no space behind the colon": Case(answers=[stream(data(*HELLO).replace("data: ", "data:"))], text="Hello"),
    # edison7009/EchoBird#375
    "a web page": Case(
        answers=[b"HTTP/1.1 200 OK\r\nContent-Type: text/html\r\nConnection: close\r\n\r\n<html>Welcome</html>"] * 3,
        status=502,
        error="upstream_error",
        says=["sent a web page", "baseUrl"],
    ),
}

ERRORS = {
    # reVrost/go-openrouter#21, diegosouzapw/OmniRoute#3044
    "an error within an error, as JSON text": Case(
        answers=[
            as_json(
                {
                    "error": {
                        "message": "Provider returned error",
                        "code": 400,
                        "metadata": {
                            "raw": '{\n "error": {\n "message": "Model supports at most 1 image per prompt."}}',
                            "provider_name": "OpenAI",
                        },
                    },
                    "user_id": "org",
                },
                status="400 Bad Request",
            )
        ],
        status=400,
        error="invalid_request_error",
        says=["Model supports at most 1 image per prompt."],
    ),
    # open-webui/computer#293
    "a reason in plain text within an error": Case(
        answers=[
            as_json(
                {
                    "error": {
                        "message": "Provider returned error",
                        "code": 429,
                        "metadata": {"raw": "glm is temporarily rate-limited upstream. Please retry shortly"},
                    }
                },
                status="429 Too Many Requests",
            )
        ],
        status=429,
        error="rate_limit_error",
        says=["temporarily rate-limited upstream"],
    ),
    # fox1245/NeoGraph#124
    "an error that is only a word": Case(
        answers=[stream(data({"error": "STREAM_EXPLODED"}))] * 3,
        status=502,
        error="upstream_error",
        says=["STREAM_EXPLODED"],
    ),
    # apache/rocketmq-dashboard#2178, BerriAI/litellm#22793
    "an error in a 200 whose code is null": Case(
        answers=[stream(data({"error": {"message": "broke", "code": None}}))] * 3,
        status=502,
        error="upstream_error",
        says=["broke"],
    ),
    # nearai/ironclaw#1241
    "an object that is an error": Case(
        answers=[
            as_json(
                {
                    "object": "error",
                    "message": "Tool call id was turn1_0 but must be a-z, A-Z, 0-9, with a length of 9.",
                    "type": "invalid_function_call",
                    "param": None,
                    "code": "3280",
                },
                status="400 Bad Request",
            )
        ],
        status=400,
        error="invalid_request_error",
        says=["with a length of 9"],
    ),
    # 0xsline/OpenChatCut#6
    "a list with one error": Case(
        answers=[
            as_json(
                [
                    {
                        "error": {
                            "code": 400,
                            "message": "Function call is missing a thought_signature in functionCall parts.",
                            "status": "INVALID_ARGUMENT",
                        }
                    }
                ],
                status="400 Bad Request",
            )
        ],
        status=400,
        error="invalid_request_error",
        says=["missing a thought_signature"],
    ),
    # platform.minimax.io/docs/api-reference/errorcode
    "a status of its own in a 200": Case(
        answers=[as_json({"choices": None, "base_resp": {"status_code": 1008, "status_msg": "insufficient balance"}})],
        status=502,
        error="upstream_error",
        code="insufficient_quota",
        says=["insufficient balance"],
    ),
    # Wei-Shaw/sub2api#1471
    "responses: an event that breaks off where an error begins": Case(
        agent="re",
        answers=[
            stream(
                'data: {"type": "response.completed", "response": {"id": "r", "outp\n'
                '{"type": "error", "error": {"message": "stream_read_error"}}\n\n'
            )
        ]
        * 3,
        status=502,
        error="upstream_error",
    ),
}

FORMATS = {
    # xemantic/anthropic-sdk-kotlin#147
    "anthropic: blocks that are never stopped": Case(
        agent="an",
        request=ASKED,
        answers=[
            stream(
                named(
                    opened(),
                    *text_block(0, "Let me see.")[:-1],
                    *block(
                        1,
                        {"type": "tool_use", "id": "t1", "name": "get_weather", "input": {}},
                        {"type": "input_json_delta", "partial_json": PARIS},
                    )[:-1],
                    *block(2, {"type": "tool_use", "id": "t2", "name": "get_time", "input": {"tz": "utc"}})[:-1],
                    *closed("tool_use"),
                )
            )
        ],
        text="Let me see.",
        calls=BOTH_CALLS,
    ),
    # earendil-works/pi#6567
    "anthropic: a message_delta without usage": Case(
        agent="an",
        answers=[
            stream(
                named(
                    opened(),
                    *text_block(0, "Hello"),
                    {"type": "message_delta", "delta": {"stop_reason": "end_turn"}},
                    {"type": "message_stop"},
                )
            )
        ],
        text="Hello",
        usage=(11, 1),
    ),
    # MoonshotAI/Kimi-K2.5#33
    "anthropic: message_start again and again": Case(
        agent="an",
        answers=[stream(named(*[opened()] * 5, *text_block(0, "Hello"), opened(), *closed()))],
        text="Hello",
        usage=(11, 5),
    ),
    # vllm-project/vllm#47916, vllm-project/vllm#38227
    "responses: calls that have other ids at the end": Case(
        agent="re",
        request=ASKED,
        answers=[
            responses(
                {"type": "response.output_item.added", "output_index": 1, "item": item("call_1", "get_weather", "")},
                {"type": "response.function_call_arguments.delta", "output_index": 1, "delta": PARIS},
                {
                    "type": "response.output_item.done",
                    "output_index": 1,
                    "item": item("call_1", "get_weather", PARIS, id="fc_1"),
                },
                output=[item("call_9", "get_weather", PARIS, id="fc_9")],
            )
        ],
        calls=PARIS_CALL,
    ),
    # lidge-jun/opencodex#4652
    "responses: arguments in the done event only": Case(
        agent="re",
        request=ASKED,
        answers=[
            responses(
                {"type": "response.output_item.added", "output_index": 0, "item": item("c", "get_weather", "", id="f")},
                {
                    "type": "response.function_call_arguments.done",
                    "output_index": 0,
                    "item_id": "f",
                    "arguments": PARIS,
                },
            )
        ],
        calls=PARIS_CALL,
    ),
    # BerriAI/litellm#36375
    "responses: a text and two calls in one place": Case(
        agent="re",
        request=ASKED,
        answers=[
            responses(
                {"type": "response.output_text.delta", "output_index": 0, "content_index": 0, "delta": "Hello"},
                {
                    "type": "response.output_item.done",
                    "output_index": 0,
                    "item": {"type": "message", "id": "m", "content": [{"type": "output_text", "text": "Hello"}]},
                },
                {
                    "type": "response.output_item.done",
                    "output_index": 0,
                    "item": item("c1", "get_weather", PARIS, id="f1"),
                },
                {
                    "type": "response.output_item.done",
                    "output_index": 0,
                    "item": item("c2", "get_time", '{"tz":"utc"}', id="f2"),
                },
                output=[
                    {"type": "message", "id": "m", "content": [{"type": "output_text", "text": "Hello"}]},
                    item("c1", "get_weather", PARIS, id="f1"),
                    item("c2", "get_time", '{"tz":"utc"}', id="f2"),
                ],
            )
        ],
        text="Hello",
        calls=BOTH_CALLS,
    ),
}

CASES = TOOL_CALLS | FINISH_AND_USAGE | ANSWERS | FRAMING | ERRORS | FORMATS
