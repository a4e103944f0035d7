"""What a provider wants back in the Anthropic Messages and in the OpenAI Responses format."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from tests.wire.case import PARIS, TOOLS, Case, Sent, named, stream
from tests.wire.formats import block, closed, opened, responses, text_block
from tests.wire.state import Stateless, brings, called, resends, result

Item = dict[str, Any]
ASKED = {"tools": TOOLS}
LS = '{"path":"."}'
FAILING = b"HTTP/1.1 503 Service Unavailable\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"


# Anthropic Messages.


def thinking(index: int, text: str, signature: str = "SIG") -> list[Item]:
    deltas: list[Item] = [{"type": "thinking_delta", "thinking": text}] if text else []
    if signature:
        deltas.append({"type": "signature_delta", "signature": signature})
    return block(index, {"type": "thinking", "thinking": "", "signature": ""}, *deltas)


def redacted(index: int, data: str) -> list[Item]:
    return block(index, {"type": "redacted_thinking", "data": data})


def use(index: int, id: str = "toolu_1", name: str = "ls", arguments: str = LS) -> list[Item]:
    return block(
        index,
        {"type": "tool_use", "id": id, "name": name, "input": {}},
        {"type": "input_json_delta", "partial_json": arguments},
    )


def message(*blocks: Sequence[Item], reason: str = "tool_use") -> bytes:
    """An answer of these blocks."""
    return stream(named(opened(), *(event for each in blocks for event in each), *closed(reason)))


DONE = message(text_block(0, "done"), reason="end_turn")


def blocks_back(*expected: Item, request: int = -1) -> Callable[[Sent], None]:
    """The latest answer goes back as these blocks, as far as they say."""

    def look(sent: Sent) -> None:
        turn = [turn for turn in sent[request]["messages"] if turn["role"] == "assistant"][-1]
        told = [
            {name: each.get(name) for name in wanted} for each, wanted in zip(turn["content"], expected, strict=False)
        ]
        assert told == list(expected), turn
        assert len(turn["content"]) == len(expected), turn

    return look


def no_thoughts_back(sent: Sent) -> None:
    kinds = [each["type"] for turn in sent[-1]["messages"] if turn["role"] == "assistant" for each in turn["content"]]
    assert kinds
    assert not {"thinking", "redacted_thinking"} & set(kinds), kinds


def both_steps_in_order(sent: Sent) -> None:
    turns = [turn["content"] for turn in sent[-1]["messages"] if turn["role"] == "assistant"]
    assert [[each.get("signature", each["type"]) for each in turn] for turn in turns] == [
        ["SIG1", "tool_use"],
        ["SIG2", "tool_use"],
    ]


THOUGHT = {"type": "thinking", "thinking": "I look.", "signature": "SIG"}
CALL = {"type": "tool_use"}

ANTHROPIC = {
    # anthropics/claude-code#19539: whatever is in them
    "anthropic: thoughts before a call, byte for byte": Case(
        agent="an-coder",
        answers=[message(thinking(0, ' "I" look:\n\t\u00e9\U0001f600 \\n ', "Sig+/="), use(1)), DONE],
        text="done",
        sent=blocks_back(
            {"type": "thinking", "thinking": ' "I" look:\n\t\u00e9\U0001f600 \\n ', "signature": "Sig+/="}, CALL
        ),
    ),
    # dcdpr/jp#136, anthropics/claude-code#25361
    "anthropic: redacted thoughts": Case(
        agent="an-coder",
        answers=[message(thinking(0, "I look."), redacted(1, "EroBCkYICRgC"), use(2)), DONE],
        text="done",
        sent=blocks_back(THOUGHT, {"type": "redacted_thinking", "data": "EroBCkYICRgC"}, CALL),
    ),
    # can1357/oh-my-pi#8559: thoughts between texts and calls keep their places
    "anthropic: thoughts between the parts of an answer": Case(
        agent="an-coder",
        answers=[
            message(thinking(0, "First.", "SIG1"), text_block(1, "Let me see."), thinking(2, "Then.", "SIG2"), use(3)),
            DONE,
        ],
        text="Let me see.\n\ndone",
        sent=blocks_back(
            {"type": "thinking", "thinking": "First.", "signature": "SIG1"},
            {"type": "text", "text": "Let me see."},
            {"type": "thinking", "thinking": "Then.", "signature": "SIG2"},
            CALL,
        ),
    ),
    # eclipse-theia/theia#18044, anthropics/claude-code#77850: newer models say nothing of what they think
    "anthropic: signed thoughts without text": Case(
        agent="an-coder",
        answers=[message(thinking(0, "", "CAIShAYK"), use(1)), DONE],
        text="done",
        sent=blocks_back({"type": "thinking", "thinking": "", "signature": "CAIShAYK"}, CALL),
    ),
    # alibaba/open-code-review#811
    "anthropic: thoughts of each step of a turn": Case(
        agent="an-coder",
        answers=[
            message(thinking(0, "First.", "SIG1"), use(1)),
            message(thinking(0, "Then.", "SIG2"), use(1, "toolu_2")),
            DONE,
        ],
        text="done",
        sent=both_steps_in_order,
    ),
    # zacdcook/openclaw-billing-proxy#28: over the caller's tools
    "anthropic: session: thoughts before a call of the caller's tools": Case(
        agent="an",
        request=ASKED,
        answers=[message(thinking(0, "I look."), use(1, "toolu_1", "get_weather", PARIS)), DONE],
        then=[brings(result("toolu_1"))],
        text="done",
        sent=blocks_back(THOUGHT, CALL),
    ),
    # microsoft/vscode#297388
    "anthropic: stateless: thoughts before a call of the caller's tools": Stateless(
        agent="an",
        request=ASKED,
        answers=[message(thinking(0, "I look."), redacted(1, "EroB"), use(2, "toolu_s", "get_weather", PARIS)), DONE],
        then=[resends(called("toolu_s"), reasoning_content="I look.")],
        text="done",
        sent=blocks_back(THOUGHT, {"type": "redacted_thinking", "data": "EroB"}, CALL),
    ),
    # anthropics/claude-code#63404: parallel calls behind one thought
    "anthropic: a thought before parallel calls": Case(
        agent="an",
        request=ASKED,
        answers=[
            message(
                thinking(0, "I look."),
                use(1, "toolu_1", "get_weather", PARIS),
                use(2, "toolu_2", "get_time", "{}"),
            ),
            DONE,
        ],
        then=[brings(result("toolu_2", "noon"), result("toolu_1"))],
        text="done",
        sent=blocks_back(THOUGHT, {"type": "tool_use", "id": "toolu_1"}, {"type": "tool_use", "id": "toolu_2"}),
    ),
    # platform.claude.com/docs/en/build-with-claude/extended-thinking: earlier turns' may be left out
    "anthropic: thoughts end with their turn": Case(
        agent="an",
        request=ASKED,
        answers=[
            message(thinking(0, "I look."), use(1, "toolu_1", "get_weather", PARIS)),
            DONE,
            message(text_block(0, "ok"), reason="end_turn"),
        ],
        then=[brings(result("toolu_1")), {"text": "again"}],
        text="ok",
        sent=no_thoughts_back,
    ),
    # agno-agi/agno#8794: a foreign signature is refused
    "anthropic: thoughts that the caller has made up": Stateless(
        agent="an",
        request=resends(
            called("toolu_of_another"),
            reasoning_content="Mine.",
            thinking_blocks=[{"type": "thinking", "thinking": "Mine.", "signature": "FALSE"}],
        ),
        answers=[DONE],
        text="done",
        sent=no_thoughts_back,
    ),
    "anthropic: the model behind does not get what the other has said": Case(
        agent="an-backed",
        answers=[message(thinking(0, "I look."), use(1)), *[FAILING] * 3, DONE],
        text="done",
        sent=no_thoughts_back,
    ),
}


# OpenAI Responses.


def reasons(id: str, encrypted: str | None, summary: str = "") -> list[Item]:
    parts = [{"type": "summary_text", "text": summary}] if summary else []
    item = {"type": "reasoning", "id": id, "summary": parts, "encrypted_content": encrypted, "status": None}
    return [
        {"type": "response.output_item.added", "item": {**item, "summary": []}},
        {"type": "response.output_item.done", "item": item},
    ]


def function(call_id: str = "call_1", name: str = "ls", arguments: str = LS) -> list[Item]:
    item = {"type": "function_call", "id": f"fc_{call_id}", "call_id": call_id, "name": name, "status": "completed"}
    return [
        {"type": "response.output_item.added", "item": {**item, "arguments": "", "status": "in_progress"}},
        {"type": "response.function_call_arguments.done", "arguments": arguments},
        {"type": "response.output_item.done", "item": {**item, "arguments": arguments}},
    ]


def says(text: str, phase: str | None = None) -> list[Item]:
    part = {"type": "output_text", "text": text, "annotations": []}
    item = {"type": "message", "id": "msg_1", "role": "assistant", **({"phase": phase} if phase else {})}
    return [
        {"type": "response.output_item.added", "item": {**item, "content": []}},
        {"type": "response.output_text.delta", "delta": text},
        {"type": "response.output_item.done", "item": {**item, "content": [part]}},
    ]


def output(*items: Sequence[Item]) -> bytes:
    """An answer of these items, each at its index."""
    events = [{**event, "output_index": index} for index, item in enumerate(items) for event in item]
    return responses(*events)


READY = output(says("done"))


def items_back(*expected: Item) -> Callable[[Sent], None]:
    """What the model itself has said goes back as these items, as far as they say."""

    def look(sent: Sent) -> None:
        items = [item for item in sent[-1]["input"] if _is_of_model(item)]
        told = [{name: item.get(name) for name in wanted} for item, wanted in zip(items, expected, strict=False)]
        assert told == list(expected), items
        assert len(items) == len(expected), items

    return look


def _is_of_model(item: Item) -> bool:
    return item.get("role") == "assistant" or item.get("type") in ("reasoning", "function_call")


def encrypted(text: str) -> Item:
    return {"type": "reasoning", "encrypted_content": text}


def nothing_stored(sent: Sent) -> None:
    """Nothing that only a stored answer could be known by, and nothing that says how far an item was."""
    assert sent[-1]["store"] is False
    for item in sent[-1]["input"]:
        assert "status" not in item
        assert item.get("type") == "reasoning" or "id" not in item


FUNCTION = {"type": "function_call", "call_id": "call_1"}

RESPONSES = {
    # openai/openai-agents-js#546, nlpodyssey/openai-agents-go#32
    "responses: encrypted reasoning before a call": Case(
        agent="re-coder",
        answers=[output(reasons("rs_1", "gAAAA", "I look."), function()), READY],
        text="done",
        sent=items_back(encrypted("gAAAA"), FUNCTION),
    ),
    # vercel/ai#13239: what is not stored and has no content can't be found again
    "responses: reasoning that is not encrypted": Case(
        agent="re-coder",
        answers=[output(reasons("rs_1", None, "I look."), function()), READY],
        text="done",
        sent=items_back(FUNCTION),
    ),
    # tensorzero/tensorzero#5861: several, each before what it led to
    "responses: reasoning before each of two calls": Case(
        agent="re-coder",
        answers=[
            output(reasons("rs_1", "AAA"), function(), reasons("rs_2", "BBB"), function("call_2")),
            READY,
        ],
        text="done",
        sent=items_back(encrypted("AAA"), FUNCTION, encrypted("BBB"), {"type": "function_call", "call_id": "call_2"}),
    ),
    # jrkropp/open-webui-developer-toolkit#715
    "responses: ids and states of items that nobody has stored": Case(
        agent="re-coder",
        answers=[output(reasons("rs_1", "gAAAA"), says("Let me see."), function()), READY],
        text="Let me see.\n\ndone",
        sent=nothing_stored,
    ),
    # anomalyco/opencode#15528, langchain-ai/langchain#36161
    "responses: the phase of a text before a call": Case(
        agent="re-coder",
        answers=[output(reasons("rs_1", "gAAAA"), says("Let me see.", "commentary"), function()), READY],
        text="Let me see.\n\ndone",
        sent=items_back(encrypted("gAAAA"), {"role": "assistant", "phase": "commentary"}, FUNCTION),
    ),
    # vercel/ai#12860: of an earlier turn, too
    "responses: the phase of an earlier answer": Case(
        agent="re",
        answers=[output(says("Hello", "final_answer")), READY],
        then=[{"text": "again"}],
        text="done",
        sent=items_back({"role": "assistant", "phase": "final_answer"}),
    ),
    # pydantic/pydantic-ai#5229: servers that don't know it never see it
    "responses: no phase where none was said": Case(
        agent="re",
        answers=[output(says("Hello")), READY],
        then=[{"text": "again"}],
        text="done",
        sent=items_back({"role": "assistant", "phase": None}),
    ),
    # jeremychone/rust-genai#192
    "responses: session: encrypted reasoning over the caller's tools": Case(
        agent="re",
        request=ASKED,
        answers=[output(reasons("rs_1", "gAAAA"), function("call_1", "get_weather", PARIS)), READY],
        then=[brings()],
        text="done",
        sent=items_back(encrypted("gAAAA"), FUNCTION),
    ),
    # pydantic/pydantic-ai#2882
    "responses: stateless: encrypted reasoning over the caller's tools": Stateless(
        agent="re",
        request=ASKED,
        answers=[output(reasons("rs_1", "gAAAA"), function("call_re", "get_weather", PARIS)), READY],
        then=[resends(called("call_re"))],
        text="done",
        sent=items_back(encrypted("gAAAA"), {"type": "function_call", "call_id": "call_re"}),
    ),
    # anomalyco/opencode#48773: "was not issued to this caller"
    "responses: the model behind does not get what the other has encrypted": Case(
        agent="re-backed",
        answers=[output(reasons("rs_1", "gAAAA"), function()), *[FAILING] * 3, READY],
        text="done",
        sent=items_back(FUNCTION),
    ),
}

CASES = {**ANTHROPIC, **RESPONSES}
