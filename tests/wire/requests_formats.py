"""What the gateway sends in the Anthropic Messages and in the OpenAI Responses format."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from tests.wire.case import PARIS, TOOLS, Case, Sent, named, stream
from tests.wire.formats import closed, opened, responses, text_block
from tests.wire.requests import AGAIN, after, calling, has, lacks, roles
from tests.wire.state import called, result

AN_OK = stream(named(opened(), *text_block(0, "ok"), *closed()))
RE_OK = responses({"type": "response.output_text.delta", "output_index": 0, "delta": "ok"})


# Anthropic Messages.


def blocks_of(sent: Sent, role: str) -> Sequence[Mapping[str, Any]]:
    return [block for turn in sent[-1]["messages"] if turn["role"] == role for block in turn["content"]]


def turns_alternate(sent: Sent) -> None:
    told = roles(sent)
    assert told == ["user", "assistant"] * (len(told) // 2) + ["user"] * (len(told) % 2), told


def results_follow_at_once(*ids: str) -> Callable[[Sent], None]:
    """One turn of the user holds these results, before all else."""

    def look(sent: Sent) -> None:
        turns_alternate(sent)
        position = next(i for i, turn in enumerate(sent[-1]["messages"]) if turn["role"] == "assistant")
        content = sent[-1]["messages"][position + 1]["content"]
        assert [block.get("tool_use_id") for block in content[: len(ids)]] == list(ids)
        assert all(block["type"] != "tool_result" for block in content[len(ids) :])

    return look


def no_blank_text(sent: Sent) -> None:
    texts = [block for role in ("user", "assistant") for block in blocks_of(sent, role) if block["type"] == "text"]
    assert all(block["text"].strip() for block in [*texts, *sent[-1]["system"]])
    assert all(turn["content"] for turn in sent[-1]["messages"])


def inputs_are(*expected: Mapping[str, Any]) -> Callable[[Sent], None]:
    def look(sent: Sent) -> None:
        assert [block["input"] for block in blocks_of(sent, "assistant") if block["type"] == "tool_use"] == list(
            expected
        )

    return look


def anthropic_ids(sent: Sent) -> None:
    calls = [block["id"] for block in blocks_of(sent, "assistant") if block["type"] == "tool_use"]
    assert calls == [block["tool_use_id"] for block in blocks_of(sent, "user") if block["type"] == "tool_result"]
    assert len(set(calls)) == 2
    assert all(id.replace("_", "").replace("-", "").isalnum() and id.isascii() for id in calls), calls


def tools_are_declared(sent: Sent) -> None:
    assert [tool["name"] for tool in sent[-1]["tools"]] == ["get_weather"]
    assert sent[-1]["tool_choice"] == {"type": "none"}


ANTHROPIC = {
    # open-webui/pipelines#546, ROM-mm in anomalyco/opencode#28930
    "anthropic: temperature and top_p": Case(
        agent="an",
        request={"temperature": 0.2, "top_p": 0.4},
        answers=[AN_OK],
        text="ok",
        sent=lambda sent: (has(temperature=0.2)(sent), lacks("top_p")(sent))[0],
    ),
    # QuantumNous/new-api#2763
    "anthropic: no tools, none to be chosen, and not in parallel": Case(
        agent="an",
        request={"tool_choice": "none", "parallel_tool_calls": False},
        answers=[AN_OK],
        text="ok",
        sent=lacks("tools", "tool_choice", "parallel_tool_calls"),
    ),
    # browseros-ai/BrowserOS-agent#103: results in one turn, whatever their order
    "anthropic: results of parallel calls": Case(
        agent="an",
        request=after(
            calling(called("a"), called("b", "get_time", "{}")), result("a"), result("b", "noon"), AGAIN, tools=TOOLS
        ),
        answers=[AN_OK],
        text="ok",
        sent=results_follow_at_once("a", "b"),
    ),
    # earendil-works/pi#707, letta-ai/letta#3308: a call that was broken off
    "anthropic: a call that has no result": Case(
        agent="an",
        request=after(calling(called("a"), called("b")), result("a"), AGAIN, tools=TOOLS),
        answers=[AN_OK],
        text="ok",
        sent=results_follow_at_once("a", "b"),
    ),
    # aaif-goose/goose#7343, experientiallabs/experiential#804
    "anthropic: blank texts": Case(
        agent="an",
        request={
            "messages": [
                {"role": "system", "content": "  "},
                {"role": "user", "content": [{"type": "text", "text": ""}, {"type": "text", "text": "hi"}]},
                calling(called(), content="\n\n"),
                result(content=""),
                {"role": "assistant", "content": " "},
                AGAIN,
            ],
            "tools": TOOLS,
        },
        answers=[AN_OK],
        text="ok",
        sent=no_blank_text,
    ),
    # MoonshotAI/kimi-cli#1764: "tool_use.input: Input should be a valid dictionary"
    "anthropic: arguments that are no object": Case(
        agent="an",
        request=after(
            calling(called("a", arguments=""), called("b", arguments="null"), called("c", arguments='{"city": "Par')),
            *(result(id) for id in "abc"),
            tools=TOOLS,
        ),
        answers=[AN_OK],
        text="ok",
        sent=inputs_are({}, {}, {}),
    ),
    # BlockRunAI/ClawRouter#17, HKUDS/nanobot#4356: made valid, two ids stay two
    "anthropic: ids of another server's calls": Case(
        agent="an",
        request=after(
            calling(called("functions.get_weather:0"), called("functions:get_weather.0")),
            result("functions.get_weather:0"),
            result("functions:get_weather.0"),
            tools=TOOLS,
        ),
        answers=[AN_OK],
        text="ok",
        sent=anthropic_ids,
    ),
    # anthropics/claude-code#20885: servers that count anew in each answer
    "anthropic: the same id in two answers": Case(
        agent="an",
        request=after(calling(called("call_0")), result("call_0"), calling(called("call_0")), result("call_0")),
        answers=[AN_OK],
        text="ok",
        sent=anthropic_ids,
    ),
    # "Anthropic requires tools param when conversation has tool_calls", badlogic/pi-mono packages/ai
    "anthropic: calls of the past without tools": Case(
        agent="an",
        request=after(calling(called()), result(), AGAIN),
        answers=[AN_OK],
        text="ok",
        sent=tools_are_declared,
    ),
}


# OpenAI Responses.


def own_words_are_no_input(sent: Sent) -> None:
    said = [item for item in sent[-1]["input"] if item.get("role") == "assistant"]
    assert said
    assert "input_text" not in str(said)
    assert all("id" not in item for item in sent[-1]["input"])


def call_ids_fit(sent: Sent) -> None:
    [call], [told] = (
        [item["call_id"] for item in sent[-1]["input"] if item.get("type") == kind]
        for kind in ("function_call", "function_call_output")
    )
    assert call == told
    assert 0 < len(call) <= 64


def tools_are_flat(sent: Sent) -> None:
    for tool in sent[-1]["tools"]:
        assert (tool["type"], tool["parameters"]["type"]) == ("function", "object")
        assert "function" not in tool
    assert sent[-1]["tool_choice"] == {"type": "function", "name": "get_time"}


RESPONSES = {
    # missdeer/ace-tool-rs#11, UKGovernmentBEIS/inspect_ai#1545
    "responses: what the assistant has said": Case(
        agent="re",
        request=after({"role": "assistant", "content": [{"type": "text", "text": "Hello"}]}, AGAIN),
        answers=[RE_OK],
        text="ok",
        sent=own_words_are_no_input,
    ),
    # fitchmultz/pi-cursor-sdk#237: 64 characters at most
    "responses: an id of a call that is too long": Case(
        agent="re",
        request=after(
            calling(called("cursor-pi-bridge-run-c2417032-9686-40f2-bd3c-a763fbaa7693-tool-10")),
            result("cursor-pi-bridge-run-c2417032-9686-40f2-bd3c-a763fbaa7693-tool-10"),
        ),
        answers=[RE_OK],
        text="ok",
        sent=call_ids_fit,
    ),
    # platform.openai.com/docs/guides/migrate-to-responses: tools and choice are flat there
    "responses: tools and a tool that is chosen": Case(
        agent="re",
        request={"tools": TOOLS, "tool_choice": {"type": "function", "function": {"name": "get_time"}}},
        answers=[
            responses(
                {
                    "type": "response.output_item.done",
                    "output_index": 0,
                    "item": {
                        "type": "function_call",
                        "id": "fc_1",
                        "call_id": "call_1",
                        "name": "get_time",
                        "arguments": PARIS,
                    },
                }
            )
        ],
        calls=[("get_time", PARIS)],
        sent=tools_are_flat,
    ),
    # openclaw/openclaw packages/ai: "Responses rejects output budgets below 16 tokens"
    "responses: a small token limit": Case(
        agent="re", request={"max_tokens": 5}, answers=[RE_OK], text="ok", sent=has(max_output_tokens=16)
    ),
}

CASES = {**ANTHROPIC, **RESPONSES}
