"""Requests as clients really send them: forms of other APIs, lists of allowed tools, files."""

from __future__ import annotations

import base64
from typing import Any

import openai
import pytest

from tests.live.expect import expect_error
from tests.live.gateway import TOKEN, Gateway, chat_body
from tests.scripted import Reply, ScriptedProvider, ToolCall
from tests.wire.case import TIME, TOOLS, WEATHER

PARIS = ToolCall("call_1", "get_weather", '{"city":"Paris"}')
NOON = ToolCall("call_2", "get_time", "{}")
ONLY_WEATHER: Any = {
    "type": "allowed_tools",
    "allowed_tools": {"mode": "required", "tools": [{"type": "function", "function": {"name": "get_weather"}}]},
}


@pytest.mark.parametrize("streamed", [False, True])
def test_allowed_tools(gateway: Gateway, provider: ScriptedProvider, streamed: bool) -> None:
    """The SDK's caller sees no call outside of its list; the model reads that it must not, and tries again."""
    provider.enqueue(
        Reply("Let me see.", tool_calls=(NOON,), finish="tool_calls"), Reply(tool_calls=(PARIS,), finish="tool_calls")
    )
    asked: Any = {"model": "openclaw", "messages": chat_body()["messages"], "tools": TOOLS, "tool_choice": ONLY_WEATHER}
    with openai.OpenAI(base_url=f"{gateway.url}/v1", api_key=TOKEN, max_retries=0) as client:
        if streamed:
            with client.chat.completions.stream(**asked) as events:
                (choice,) = events.get_final_completion().choices
        else:
            (choice,) = client.chat.completions.create(**asked).choices
        message: Any = choice.message
        assert (choice.finish_reason, message.content) == ("tool_calls", "Let me see.")
        assert [(call.id, call.function.name) for call in message.tool_calls] == [("call_1", "get_weather")]
        first, second = (request.body for request in provider.requests)
        assert (first["tools"], first["tool_choice"]) == (TOOLS, "required")
        assert "get_weather" in second["messages"][-1]["content"]
        # The conversation goes on, and the model reads what it did itself.
        result = {"role": "tool", "tool_call_id": "call_1", "content": "rain"}
        client.chat.completions.create(
            **asked | {"messages": [*asked["messages"], message, result], "tool_choice": "auto"}
        )
    told = [each.get("tool_call_id") for each in provider.requests[2].body["messages"] if each["role"] == "tool"]
    assert told == ["call_2", "call_1"]


def test_a_list_that_names_no_tool(gateway: Gateway, provider: ScriptedProvider) -> None:
    """The param leads to the name that nobody has."""
    param = "tool_choice.allowed_tools.tools[0].function.name"
    expect_error(gateway.chat(tools=[TIME], tool_choice=ONLY_WEATHER), 400, "invalid_request_error", param=param)
    assert provider.requests == []


def test_a_request_in_the_responses_form(gateway: Gateway, provider: ScriptedProvider) -> None:
    """Clients that write the newer API's parts and tools here are understood; the provider reads the chat form."""
    call = {"id": "call_0", "function": {"name": "get_weather", "arguments": None}}
    messages = [
        {"role": "user", "content": [{"type": "input_text", "text": "weather?"}]},
        {"role": "assistant", "content": [{"type": "output_text", "text": "I look."}], "tool_calls": [call]},
        {"role": "tool", "tool_call_id": "call_0", "content": [{"type": "input_text", "text": "rain"}]},
    ]
    flat = {"type": "function", **WEATHER["function"]}
    answer = gateway.chat(messages=messages, tools=[flat], tool_choice={"type": "auto"})
    assert answer.status == 200
    sent = provider.requests[0].body
    assert (sent["tools"], sent["tool_choice"]) == ([WEATHER], "auto")
    asked, said, result = sent["messages"][-3:]
    assert asked["content"] == [{"type": "text", "text": "weather?"}]
    function = {"name": "get_weather", "arguments": "{}"}
    assert said["tool_calls"] == [{"id": "call_0", "type": "function", "function": function}]
    assert result["content"] == [{"type": "text", "text": "rain"}]


def test_a_text_file(gateway: Gateway, provider: ScriptedProvider) -> None:
    """The model reads its name and what it says; any other file is refused by its path."""
    encoded = base64.b64encode(b"a,b\n1,2\n").decode()
    part = {"type": "file", "file": {"filename": "table.csv", "file_data": f"data:text/csv;base64,{encoded}"}}
    assert gateway.chat([part]).status == 200
    (sent,) = provider.requests[0].body["messages"][-1]["content"]
    assert sent == {"type": "text", "text": "[Attached file table.csv]\na,b\n1,2\n"}
    part["file"] = {"filename": "a.pdf", "file_data": f"data:application/pdf;base64,{encoded}"}
    param = "messages[0].content[0].file.file_data"
    expect_error(gateway.chat([part]), 400, "invalid_request_error", param=param)
