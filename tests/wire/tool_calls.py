"""Tool calls in the streams of OpenAI-compatible servers."""

from __future__ import annotations

from tests.wire.case import PARIS, TOOLS, Case, call_delta, chat, fragment

ASKED = {"tools": TOOLS}
PARIS_CALL = [("get_weather", PARIS)]

CASES = {
    "the first fragment has an empty name, the next one the real name under the same id": Case(
        request=ASKED,
        answers=[
            chat(
                call_delta({"index": 0, "id": "call_1", "type": "function", "function": {"name": "", "arguments": ""}}),
                call_delta(fragment(0, "call_1", "get_weather", PARIS)),
                finish="tool_calls",
            )
        ],
        calls=PARIS_CALL,
        usage=(11, 5),
    ),
    "the id comes later than the name": Case(
        request=ASKED,
        answers=[
            chat(
                call_delta(fragment(0, name="get_weather", arguments="")),
                call_delta(fragment(0, "call_1", arguments=PARIS)),
                finish="tool_calls",
            )
        ],
        calls=PARIS_CALL,
    ),
    "the last fragment brings the whole arguments again": Case(
        request=ASKED,
        answers=[
            chat(
                call_delta(fragment(0, "call_1", "get_weather", PARIS)),
                call_delta(fragment(0, "call_1", "get_weather", PARIS)),
                finish="tool_calls",
            )
        ],
        calls=PARIS_CALL,
    ),
    "each fragment brings the arguments so far": Case(
        request=ASKED,
        answers=[
            chat(
                call_delta(fragment(0, "call_1", "get_weather", "")),
                call_delta(fragment(0, "call_1", "get_weather", '{"ci')),
                call_delta(fragment(0, "call_1", "get_weather", '{"city":"Par')),
                call_delta(fragment(0, "call_1", "get_weather", PARIS)),
                finish="tool_calls",
            )
        ],
        calls=PARIS_CALL,
    ),
    "a tool without parameters has empty arguments": Case(
        request=ASKED,
        answers=[chat(call_delta(fragment(0, "call_1", "get_time", "")), finish="tool_calls")],
        calls=[("get_time", "{}")],
    ),
    "a tool without parameters has no arguments": Case(
        request=ASKED,
        answers=[chat(call_delta(fragment(0, "call_1", "get_time")), finish="tool_calls")],
        calls=[("get_time", "{}")],
    ),
}
