"""What a provider of chat completions wants back with its own answer, and what it must not get back."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from tests.wire.case import PARIS, TOOLS, Case, Sent, call_delta, chat, fragment

ASKED = {"tools": TOOLS}
PARIS_CALL = [("get_weather", PARIS)]
LS = '{"path":"."}'
USER = {"role": "user", "content": "hi"}


class Stateless(Case):
    """Its requests are in no session: each brings its whole conversation.

    The gateway knows such a conversation by its calls' ids: no two cases have the same.
    """


def signed(signature: str, maker: str = "google") -> dict[str, Any]:
    return {"extra_content": {maker: {"thought_signature": signature}}}


def called(id: str = "call_1", name: str = "get_weather", arguments: str = PARIS) -> dict[str, Any]:
    """A call as a caller sends it back."""
    return {"id": id, "type": "function", "function": {"name": name, "arguments": arguments}}


def result(id: str = "call_1", content: Any = "sunny") -> dict[str, Any]:
    return {"role": "tool", "tool_call_id": id, "content": content}


def brings(*results: Mapping[str, Any], **fields: Any) -> dict[str, Any]:
    """A session's next request, with these results."""
    return {**ASKED, "messages": list(results or [result()]), **fields}


def resends(*calls: Mapping[str, Any], **assistant: Any) -> dict[str, Any]:
    """A stateless caller's next request: all that was said, and a result for each call."""
    said = {"role": "assistant", "content": None, "tool_calls": list(calls), **assistant}
    return {**ASKED, "messages": [USER, said, *(result(call["id"]) for call in calls)]}


def calls_weather(*deltas: Any, id: str = "call_1", **more: Any) -> bytes:
    """An answer that calls a tool of the caller, after these deltas."""
    return chat(*deltas, call_delta({**fragment(0, id, "get_weather", PARIS), **more}), finish="tool_calls")


def calls_ls(*deltas: Any, id: str = "call_1", **more: Any) -> bytes:
    """An answer that calls a tool of the agent's own."""
    return chat(*deltas, call_delta({**fragment(0, id, "ls", LS), **more}), finish="tool_calls")


DONE = chat({"content": "done"})


def said_by_assistant(sent: Sent, request: int = -1) -> Sequence[Mapping[str, Any]]:
    return [message for message in sent[request]["messages"] if message["role"] == "assistant"]


def goes_back(**fields: Any) -> Callable[[Sent], None]:
    """The assistant's latest message has these members in the last request."""

    def look(sent: Sent) -> None:
        message = said_by_assistant(sent)[-1]
        assert {name: message.get(name) for name in fields} == fields

    return look


def goes_nowhere(*names: str) -> Callable[[Sent], None]:
    def look(sent: Sent) -> None:
        assert all(name not in message for message in said_by_assistant(sent) for name in names)

    return look


def signatures(*expected: Mapping[str, Any] | None) -> Callable[[Sent], None]:
    """The calls of the assistant's latest message have these in the last request; None: nothing besides the call."""

    def look(sent: Sent) -> None:
        assert [call.get("extra_content") for call in said_by_assistant(sent)[-1]["tool_calls"]] == list(expected)

    return look


def each_step_has_its_own(sent: Sent) -> None:
    assert [message["reasoning_content"] for message in said_by_assistant(sent)] == ["First.", "Then."]


def earlier_turns_have_none(sent: Sent) -> None:
    assert len(said_by_assistant(sent)) == 2
    goes_nowhere("reasoning_content", "reasoning_details")(sent)


def details_are_whole(sent: Sent) -> None:
    [detail] = said_by_assistant(sent)[-1]["reasoning_details"]
    assert detail["text"] == "Let me compute 17 * 23."
    assert detail["signature"] == "Et8BCmUIDxgC"
    assert (detail["type"], detail["format"], detail["index"]) == ("reasoning.text", "anthropic-claude-v1", 0)


def details_keep_their_order(sent: Sent) -> None:
    details = said_by_assistant(sent)[-1]["reasoning_details"]
    assert [(detail["type"], detail.get("data")) for detail in details] == [
        ("reasoning.summary", None),
        ("reasoning.encrypted", "AAA"),
        ("reasoning.encrypted", "BBB"),
    ]
    assert [detail.get("id") for detail in details[1:]] == ["call_1", "call_2"]


CLAUDE = {"type": "reasoning.text", "format": "anthropic-claude-v1", "index": 0}
SIGNED_FRAGMENTS = [
    {"reasoning": "Let", "reasoning_details": [{**CLAUDE, "text": "Let"}]},
    {"reasoning": " me compute 17 * 23.", "reasoning_details": [{**CLAUDE, "text": " me compute 17 * 23."}]},
    {"reasoning_details": [{**CLAUDE, "signature": "Et8BCmUIDxgC"}]},
]

OWN_TOOLS = {
    # earendil-works/pi#3234, NousResearch/hermes-agent#2997
    "the signature of a call of the agent's own tools": Case(
        agent="coder",
        answers=[calls_ls(**signed("SIG")), DONE],
        text="done",
        sent=signatures({"google": {"thought_signature": "SIG"}}),
    ),
    # prism-php/prism#856, noho/dayu-agent#45: no index, and the first of parallel calls is signed alone
    "a signature that only the first of parallel calls has": Case(
        agent="coder",
        answers=[
            chat(
                call_delta({**fragment(None, "jm4owj31", "ls", LS), **signed("SIG")}),
                call_delta(fragment(None, "k2qw9x0z", "ls", '{"path":"app"}')),
                finish="tool_calls",
            ),
            DONE,
        ],
        text="done",
        sent=signatures({"google": {"thought_signature": "SIG"}}, None),
    ),
    # earendil-works/pi#6733: Vertex has a name of its own for it
    "a signature of another maker": Case(
        agent="coder",
        answers=[calls_ls(**signed("AY89a18IwQsQ8in", "vertex")), DONE],
        text="done",
        sent=signatures({"vertex": {"thought_signature": "AY89a18IwQsQ8in"}}),
    ),
    # earendil-works/pi#3636, syt2/paper-chat-for-zotero#16
    "thoughts before a call of the agent's own tools": Case(
        agent="coder",
        answers=[calls_ls({"reasoning_content": "I "}, {"reasoning_content": "look."}), DONE],
        text="done",
        sent=goes_back(reasoning_content="I look."),
    ),
    # continuedev/continue#11711, agentscope-ai/QwenPaw#433: the index in Kimi's error is any step's
    "thoughts of each step of a turn": Case(
        agent="coder",
        answers=[
            calls_ls({"reasoning_content": "First."}),
            calls_ls({"reasoning_content": "Then."}, id="call_2"),
            DONE,
        ],
        text="done",
        sent=each_step_has_its_own,
    ),
    # Kilo-Org/kilocode#5544: text between thoughts and call
    "thoughts beside text and a call": Case(
        agent="coder",
        answers=[calls_ls({"reasoning_content": "I look."}, {"content": "Let me see."}), DONE],
        text="Let me see.\n\ndone",
        sent=goes_back(reasoning_content="I look.", content="Let me see."),
    ),
    # agno-agi/agno#8794
    "details whose pieces have one index and the signature last": Case(
        agent="coder",
        answers=[calls_ls(*SIGNED_FRAGMENTS), DONE],
        text="done",
        sent=details_are_whole,
    ),
    # earendil-works/pi#260, agentjido/req_llm#300: encrypted ones are bound to their calls by id
    "encrypted details of two calls": Case(
        agent="coder",
        answers=[
            chat(
                {
                    "reasoning": "Looking.",
                    "reasoning_details": [{"type": "reasoning.summary", "summary": "Looking.", "index": 0}],
                },
                {
                    **call_delta(fragment(0, "call_1", "ls", LS)),
                    "reasoning_details": [
                        {"type": "reasoning.encrypted", "data": "AAA", "id": "call_1", "index": 1},
                        {"type": "reasoning.encrypted", "data": "BBB", "id": "call_2", "index": 2},
                    ],
                },
                call_delta(fragment(1, "call_2", "ls", '{"path":"app"}')),
                finish="tool_calls",
            ),
            DONE,
        ],
        text="done",
        sent=details_keep_their_order,
    ),
    # QwenLM/qwen-code#11045, janhq/jan#8136: Cerebras and Groq say "reasoning" and refuse "reasoning_content"
    "thoughts under the name reasoning go back under no other": Case(
        agent="coder",
        answers=[calls_ls({"reasoning": "I look."}), DONE],
        text="done",
        sent=goes_nowhere("reasoning_content"),
    ),
    # charmbracelet/crush#1590: Mistral refuses the member even when there is nothing in it
    "no thoughts, no member for them": Case(
        agent="coder",
        answers=[calls_ls({"reasoning_content": ""}), DONE],
        text="done",
        sent=goes_nowhere("reasoning_content", "reasoning_details"),
    ),
    # anomalyco/opencode#8900: Copilot's text and what proves it
    "opaque thoughts of Copilot": Case(
        agent="coder",
        answers=[calls_ls({"reasoning_text": "I look."}, {"reasoning_opaque": "OPAQUE"}), DONE],
        text="done",
        sent=goes_back(reasoning_text="I look.", reasoning_opaque="OPAQUE"),
    ),
}

CALLERS_TOOLS = {
    # mastra-ai/mastra#12592: the second request of a session
    "session: thoughts before a call of the caller's tools": Case(
        request=ASKED,
        answers=[calls_weather({"reasoning_content": "I look."}), DONE],
        then=[brings()],
        text="done",
        sent=goes_back(reasoning_content="I look."),
    ),
    # bytedance/deer-flow#3043: the caller's SDK drops what it doesn't know
    "stateless: thoughts that the caller's SDK has dropped": Stateless(
        request=ASKED,
        answers=[calls_weather({"reasoning_content": "I look."}, id="call_sdk"), DONE],
        then=[resends(called("call_sdk"))],
        text="done",
        sent=goes_back(reasoning_content="I look."),
    ),
    # tashfeenahmed/freellmapi#232: the caller sends them itself
    "stateless: thoughts that the caller has changed": Stateless(
        request=ASKED,
        answers=[calls_weather({"reasoning_content": "I look."}, id="call_changed"), DONE],
        then=[resends(called("call_changed"), reasoning_content="Something else.")],
        text="done",
        sent=goes_back(reasoning_content="I look."),
    ),
    # Alishahryar1/free-claude-code#1136: of another's making, and this server would refuse them
    "stateless: thoughts that nobody here has said": Stateless(
        request=resends(
            called("call_of_another"),
            reasoning_content="Mine.",
            reasoning_details=[{"type": "reasoning.text", "text": "Mine."}],
        ),
        answers=[DONE],
        text="done",
        sent=goes_nowhere("reasoning_content", "reasoning", "reasoning_details"),
    ),
    # ServiceNow/eva#206
    "session: a signature over the caller's tools": Case(
        request=ASKED,
        answers=[calls_weather(**signed("SIG")), DONE],
        then=[brings()],
        text="done",
        sent=signatures({"google": {"thought_signature": "SIG"}}),
    ),
    # ENTERPILOT/GoModel#894
    "stateless: a signature over the caller's tools": Stateless(
        request=ASKED,
        answers=[calls_weather(id="call_signed", **signed("SIG")), DONE],
        then=[resends(called("call_signed"))],
        text="done",
        sent=signatures({"google": {"thought_signature": "SIG"}}),
    ),
    # crmne/ruby_llm#588: a caller that knows the member sends it itself, and the gateway's own is as good
    "stateless: a signature that the caller sends back itself": Stateless(
        request=ASKED,
        answers=[calls_weather(id="call_kept", **signed("SIG")), DONE],
        then=[resends({**called("call_kept"), **signed("OTHER")})],
        text="done",
        sent=signatures({"google": {"thought_signature": "SIG"}}),
    ),
    # open-webui/open-webui#26404
    "session: details over the caller's tools": Case(
        request=ASKED,
        answers=[calls_weather(*SIGNED_FRAGMENTS), DONE],
        then=[brings()],
        text="done",
        sent=details_are_whole,
    ),
    # kagent-dev/kagent#2851: what an SDK writes anew is still the same call
    "stateless: arguments that the caller has written anew": Stateless(
        request=ASKED,
        answers=[calls_weather({"reasoning_content": "I look."}, id="call_anew"), DONE],
        then=[resends(called("call_anew", arguments='{ "city": "Paris" }'), content="")],
        text="done",
        sent=goes_back(reasoning_content="I look."),
    ),
    # anomalyco/opencode#10996: results in another order than the calls
    "session: thoughts before parallel calls": Case(
        request=ASKED,
        answers=[
            chat(
                {"reasoning_content": "Both."},
                call_delta(fragment(0, "call_1", "get_weather", PARIS), fragment(1, "call_2", "get_time", "{}")),
                finish="tool_calls",
            ),
            DONE,
        ],
        then=[brings(result("call_2", "noon"), result("call_1"))],
        text="done",
        sent=goes_back(reasoning_content="Both."),
    ),
}

LATER = {
    # api-docs.deepseek.com/guides/reasoning_model: 400 when the member is in the input of another turn
    "thoughts end with their turn": Case(
        answers=[chat({"reasoning_content": "Hm."}, {"content": "Hello"}), chat({"content": "ok"})],
        then=[{"text": "again"}],
        text="ok",
        sent=goes_nowhere("reasoning_content"),
    ),
    # egoist/chatwise-releases#1442: the follow-up of a turn with calls
    "thoughts before calls end with their turn": Case(
        request=ASKED,
        answers=[calls_weather({"reasoning_content": "I look."}), DONE, chat({"content": "ok"})],
        then=[brings(), {"text": "again"}],
        text="ok",
        sent=earlier_turns_have_none,
    ),
    # agentjido/req_llm#772, vercel/ai#5171: a model that didn't say it is asked instead
    "the model behind does not get what the other has said": Case(
        agent="backed",
        answers=[
            calls_ls({"reasoning_content": "I look."}, **signed("SIG")),
            *[b"HTTP/1.1 503 Service Unavailable\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"] * 3,
            DONE,
        ],
        text="done",
        sent=lambda sent: (goes_nowhere("reasoning_content")(sent), signatures(None)(sent))[0],
    ),
}

CASES = {**OWN_TOOLS, **CALLERS_TOOLS, **LATER}
