"""What the gateway sends to a provider of chat completions: real servers refuse a request for little."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from tests.wire.case import Case, Sent, chat
from tests.wire.state import USER, called, result, said_by_assistant

OK = chat({"content": "ok"})
AGAIN = {"role": "user", "content": "again"}
TOOL_MEMBERS = {"id", "type", "function"}


def after(*messages: Mapping[str, Any], **fields: Any) -> dict[str, Any]:
    """A request whose conversation goes on after the user's first words."""
    return {"messages": [USER, *messages], **fields}


def calling(*calls: Mapping[str, Any], **more: Any) -> dict[str, Any]:
    return {"role": "assistant", "content": None, "tool_calls": list(calls), **more}


def lacks(*names: str) -> Callable[[Sent], None]:
    def look(sent: Sent) -> None:
        assert not set(names) & set(sent[-1]), sent[-1]

    return look


def has(**fields: Any) -> Callable[[Sent], None]:
    def look(sent: Sent) -> None:
        assert {name: sent[-1].get(name) for name in fields} == fields

    return look


def roles(sent: Sent) -> Sequence[str]:
    return [message["role"] for message in sent[-1]["messages"]]


def _no_empty_message(sent: Sent) -> None:
    assert all(message["content"] or message.get("tool_calls") for message in sent[-1]["messages"])


def _no_stream_options(sent: Sent) -> None:
    assert "stream_options" not in sent[0]


def instructions_come_first(sent: Sent) -> None:
    """One system message, before all others, with every instruction in it."""
    assert roles(sent).count("system") == 1
    assert roles(sent)[0] == "system"
    assert "developer" not in roles(sent)
    text = sent[-1]["messages"][0]["content"]
    assert text.index("Be brief.") < text.index("In French.")


def only_known_members(sent: Sent) -> None:
    for message in sent[-1]["messages"]:
        assert set(message) <= {"role", "content", "tool_calls", "tool_call_id"}, message
        for call in message.get("tool_calls", ()):
            assert set(call) == TOOL_MEMBERS, call
            assert set(call["function"]) == {"name", "arguments"}, call


def content_is_there(sent: Sent) -> None:
    [message] = said_by_assistant(sent)
    assert "content" in message
    assert message["content"] in (None, "")


def arguments_are(*expected: str) -> Callable[[Sent], None]:
    def look(sent: Sent) -> None:
        [message] = said_by_assistant(sent)
        assert [call["function"]["arguments"] for call in message["tool_calls"]] == list(expected)

    return look


def ids_pair(accepted: Callable[[str], bool]) -> Callable[[Sent], None]:
    """The ids are of this form, no two are the same, and each result has that of its call."""

    def look(sent: Sent) -> None:
        calls = [call["id"] for message in said_by_assistant(sent) for call in message["tool_calls"]]
        results = [message["tool_call_id"] for message in sent[-1]["messages"] if message["role"] == "tool"]
        assert calls == results
        assert len(set(calls)) == len(calls)
        assert all(accepted(id) for id in calls), calls

    return look


def result_is_text(sent: Sent) -> None:
    assert sent[-1]["messages"][-1]["content"] == "one\ntwo"


def parameters_are_an_object(sent: Sent) -> None:
    assert [tool["function"]["parameters"]["type"] for tool in sent[-1]["tools"]] == ["object"] * 2


MESSAGES = {
    "an answer without text goes nowhere": Case(
        session=True,
        answers=[chat({"content": ""}), OK],
        request={},
        then=[{"text": "again"}],
        text="ok",
        sent=_no_empty_message,
    ),
    # can1357/oh-my-pi#958, Noineri/vibe_tavern#44: "System message must be at the beginning."
    "instructions before and between the messages": Case(
        request={
            "messages": [
                {"role": "system", "content": "Be brief."},
                USER,
                {"role": "assistant", "content": "Hello"},
                {"role": "system", "content": "In French."},
                AGAIN,
            ]
        },
        answers=[OK],
        text="ok",
        sent=instructions_come_first,
    ),
    # BerriAI/litellm#39852
    "a developer's instructions after the first words": Case(
        request={
            "messages": [
                USER,
                {"role": "developer", "content": "Be brief."},
                {"role": "developer", "content": [{"type": "text", "text": "In French."}]},
                AGAIN,
            ]
        },
        answers=[OK],
        text="ok",
        sent=instructions_come_first,
    ),
    # neuron-core/neuron-ai#76, langchain-ai/langchainjs#5144, huaweicloud/ModelArts-Lab#1876
    "what other servers have put into their answers": Case(
        request=after(
            {
                **calling({**called(), "index": 0}, name=None, function_call=None),
                "refusal": None,
                "annotations": [],
                "audio": None,
                "usage": {"input_tokens": 750},
                "finish_reason": "tool_calls",
            },
            {**result(), "is_error": False},
        ),
        answers=[OK],
        text="ok",
        sent=only_known_members,
    ),
    # jekalmin/extended_openai_conversation#456, langchain4j/langchain4j#1958: some want the member, null as it is
    "a call without text": Case(
        # Words of its own: what the gateway itself kept of a conversation comes back into the very same one.
        request={
            "messages": [
                {"role": "user", "content": "how is it there?"},
                {"role": "assistant", "tool_calls": [called()]},
                result(),
            ]
        },
        answers=[OK],
        text="ok",
        sent=content_is_there,
    ),
    # can1357/oh-my-pi#1165, agentforce314/clawcodex#394: told at once, in OpenAI's manner, and asked of nobody
    "a result whose call is forgotten": Case(
        request={"messages": [USER, result("toolu_01MB9F"), AGAIN]},
        answers=[],
        status=400,
        error="invalid_request_error",
        says=["toolu_01MB9F"],
    ),
    # kagent-dev/kagent#2851: Ollama refuses everything but an object
    "calls without arguments": Case(
        request=after(calling(called("a", arguments=""), called("b", "get_time", "null")), result("a"), result("b")),
        answers=[OK],
        text="ok",
        sent=arguments_are("{}", "{}"),
    ),
}

TOOLS_AND_IDS = {
    # vercel/ai#5171, openclaw/openclaw#875: OpenAI takes 40 characters
    "ids of calls that are too long": Case(
        request=after(
            calling(called("tooluse_" + 43 * "x"), called("ws_689e2d4880a0819d98acca37694989b00b15d90494fc6b87")),
            result("tooluse_" + 43 * "x"),
            result("ws_689e2d4880a0819d98acca37694989b00b15d90494fc6b87"),
        ),
        answers=[OK],
        text="ok",
        sent=ids_pair(lambda id: 0 < len(id) <= 40),
    ),
    # openclaw/openclaw#70693: Kimi knows its calls by what it has called them
    "ids of calls as the model has made them": Case(
        request=after(calling(called("functions.get_weather:0")), result("functions.get_weather:0")),
        answers=[OK],
        text="ok",
        sent=ids_pair(lambda id: id == "functions.get_weather:0"),
    ),
    # vllm-project/vllm#39780, QwenLM/qwen-code#2054, nextcloud/integration_openai#429
    "an empty list of tools": Case(
        request={"tools": [], "tool_choice": "auto"}, answers=[OK], text="ok", sent=lacks("tools", "tool_choice")
    ),
    # openai/swarm#30, camel-ai/camel#3706
    "parallel_tool_calls without tools": Case(
        request={"parallel_tool_calls": False}, answers=[OK], text="ok", sent=lacks("parallel_tool_calls")
    ),
    # writer/writer-framework#1013
    "tool_choice without tools": Case(
        request={"tool_choice": "none"}, answers=[OK], text="ok", sent=lacks("tools", "tool_choice")
    ),
    # leookun/cursor-byok#362: "tools.function.parameters.type is required"
    "tools whose parameters have no type": Case(
        request={
            "tools": [
                {"type": "function", "function": {"name": "now", "parameters": {}}},
                {"type": "function", "function": {"name": "then", "parameters": {"properties": {"at": {}}}}},
            ]
        },
        answers=[OK],
        text="ok",
        sent=parameters_are_an_object,
    ),
}

FIELDS = {
    "a server that takes no stream_options": Case(
        agent="no-usage", answers=[chat({"content": "Hello"}, usage=False)], text="Hello", sent=_no_stream_options
    ),
    # editor-code-assistant/eca#231: Mistral knows max_tokens alone
    "the newer name of the token limit": Case(
        request={"max_completion_tokens": 100},
        answers=[OK],
        text="ok",
        sent=lambda sent: (has(max_tokens=100)(sent), lacks("max_completion_tokens")(sent))[0],
    ),
    # langtail/langtail-node#42: an empty list is refused where there are images
    "no stop sequences": Case(request={"stop": []}, answers=[OK], text="ok", sent=lacks("stop")),
    # open-webui/open-webui#13617, open-webui/open-webui#14926
    "fields of an app's own": Case(
        request={"tool_servers": [], "num_ctx": 4096, "num_gpu": 1, "chat_id": "c", "background_tasks": {}},
        answers=[OK],
        text="ok",
        sent=lacks("tool_servers", "num_ctx", "num_gpu", "chat_id", "background_tasks"),
    ),
}


CASES = {**MESSAGES, **TOOLS_AND_IDS, **FIELDS}
