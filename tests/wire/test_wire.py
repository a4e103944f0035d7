"""Each shape from the field comes out right, whether the caller asked for JSON or for a stream."""

from __future__ import annotations

import uuid
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import pytest

from tests.live.gateway import Answer, Gateway
from tests.scripted import RawHttp, ScriptedProvider, Status
from tests.wire import (
    answers,
    callers,
    compat,
    errors,
    finishes,
    formats,
    formats_responses,
    framing,
    hard,
    meanings,
    reported,
    requests,
    requests_formats,
    siblings,
    state,
    state_blocks,
    tool_calls,
    tool_calls_beside,
    usage,
)
from tests.wire.case import Case
from tests.wire.scene import config

KINDS = (
    answers,
    callers,
    compat,
    errors,
    finishes,
    formats,
    formats_responses,
    framing,
    hard,
    meanings,
    reported,
    requests,
    requests_formats,
    siblings,
    state,
    state_blocks,
    tool_calls,
    tool_calls_beside,
    usage,
)
CASES = {f"{kind.__name__.rpartition('.')[2]}: {name}": case for kind in KINDS for name, case in kind.CASES.items()}


@pytest.fixture(scope="module")
def wired(tmp_path_factory: pytest.TempPathFactory, _shared_provider: ScriptedProvider) -> Iterator[Gateway]:
    gateway = Gateway(tmp_path_factory.mktemp("wire") / "state", config(_shared_provider.base_url))
    try:
        yield gateway.wait_until_up()
    finally:
        gateway.stop()


@dataclass
class Outcome:
    """What a caller has of an answer, however it came."""

    status: int
    text: str | None = None
    refusal: str | None = None
    reasoning: str | None = None
    calls: list[tuple[str, str]] = field(default_factory=list)
    finish: str | None = None
    usage: tuple[int, int] | None = None
    error: dict[str, Any] | None = None


@pytest.mark.parametrize("streamed", [False, True], ids=["json", "stream"])
@pytest.mark.parametrize("name", CASES)
def test_the_shape_comes_out_right(name: str, streamed: bool, wired: Gateway, provider: ScriptedProvider) -> None:
    """What a provider was seen to send reaches the caller as it was meant."""
    case = CASES[name]
    provider.enqueue(*map(RawHttp, case.answers))
    provider.default = Status(500, "asked more often than there are answers")
    headers = {"x-openclaw-agent-id": case.agent}
    if (case.session or case.then) and not isinstance(case, state.Stateless):
        headers["x-openclaw-session-key"] = f"wire-{uuid.uuid4()}"
    requests = [case.request, *case.then]
    # Requests that lead up to the last one are asked for as JSON.
    for fields in requests[:-1]:
        assert wired.chat(**fields, headers=headers).status == 200
    if streamed:
        options = {"include_usage": True}
        outcome = _of_stream(wired.chat(**requests[-1], headers=headers, stream=True, stream_options=options))
    else:
        answer = wired.chat(**requests[-1], headers=headers)
        outcome = _of_json(answer)
        if case.checks:
            case.checks(answer.json)
    sent = [request.body for request in provider.requests]
    _compare(case, outcome)
    assert len(sent) == (len(case.answers) if case.asked is None else case.asked), outcome
    if case.sent:
        case.sent(sent)


def _compare(case: Case, outcome: Outcome) -> None:
    if case.error:
        assert outcome.error is not None, outcome
        assert outcome.status in (case.status, 200), outcome  # 200: the stream had begun
        assert (outcome.error["type"], outcome.error["code"]) == (case.error, case.code), outcome
        for part in case.says:
            assert part in outcome.error["message"], outcome
        assert (outcome.text or "") == (case.text or ""), outcome
        return
    assert outcome.error is None, outcome
    assert outcome.status == case.status
    assert outcome.text == case.text, outcome
    assert outcome.refusal == case.refusal, outcome
    assert outcome.calls == list(case.calls), outcome
    assert outcome.finish == (case.finish or ("tool_calls" if case.calls else "stop")), outcome
    if case.reasoning is not None:
        assert outcome.reasoning == case.reasoning
    if case.usage is not None:
        assert outcome.usage == case.usage, outcome


def _of_json(answer: Answer) -> Outcome:
    if answer.status != 200:
        return Outcome(answer.status, error=answer.error)
    choice = answer.json["choices"][0]
    message = choice["message"]
    calls = [(call["function"]["name"], call["function"]["arguments"]) for call in message.get("tool_calls", ())]
    used = answer.json["usage"]
    return Outcome(
        200,
        message["content"] or None,
        message["refusal"],
        message.get("reasoning_content"),
        calls,
        choice["finish_reason"],
        (used["prompt_tokens"], used["completion_tokens"]),
    )


def _of_stream(answer: Answer) -> Outcome:
    if answer.status != 200:
        return Outcome(answer.status, error=answer.error)
    outcome = Outcome(200)
    said: dict[str, list[str]] = {"content": [], "refusal": [], "reasoning_content": []}
    calls: dict[int, list[str]] = {}
    for chunk in answer.chunks:
        if "error" in chunk:
            outcome.error = chunk["error"]
            continue
        if used := chunk.get("usage"):
            outcome.usage = (used["prompt_tokens"], used["completion_tokens"])
        for choice in chunk["choices"]:
            delta = choice["delta"]
            for name, parts in said.items():
                parts.append(delta.get(name) or "")
            for call in delta.get("tool_calls", ()):
                kept = calls.setdefault(call["index"], [call["function"].get("name", ""), ""])
                kept[1] += call["function"]["arguments"]
            outcome.finish = choice["finish_reason"] or outcome.finish
    outcome.text = "".join(said["content"]) or None
    outcome.refusal = "".join(said["refusal"]) or None
    outcome.reasoning = "".join(said["reasoning_content"]) or None
    outcome.calls = [(name, arguments) for name, arguments in calls.values()]
    return outcome
