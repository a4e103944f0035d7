"""The agent loop: model → tool calls → results → model … until an answer, a call of the caller's tools, or a limit."""

from __future__ import annotations

import hashlib
import logging
from collections.abc import Generator, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from app.agents.calls import MAX_CALLS, NOTHING_BARRED, Call, Calls, Order, orders, perform
from app.agents.compaction import compact
from app.agents.context import BYTES_PER_TOKEN, Context
from app.agents.events import Event
from app.errors import ContextOverflow, ToolChoiceUnmet
from app.providers.stream import (
    Completed,
    Message,
    ModelCall,
    ReasoningDelta,
    RefusalDelta,
    TextDelta,
    ToolCallDelta,
)
from app.sessions.history import STEP_BREAK

if TYPE_CHECKING:
    from app.agents.run import Run
    from app.agents.tools.toolbox import Offer

log = logging.getLogger("gateway.runs")

# Characters of a tool's result that the model reads, and the shares of its window that one result may take, and all of
# one step: what the last step brought can't be shortened any more.
MAX_RESULT = 50_000
RESULT_SHARE, STEP_SHARE = 0.3, 0.5
# Tokens kept free for an answer whose length nobody bounds, at most this share of the window.
ANSWER_ROOM = 4096
ANSWER_SHARE = 0.25
# Of what the provider found too much, how much is tried again.
AFTER_OVERFLOW = 0.6


class Loop:
    """Iterate to answer: what happens comes out, while the run's ``answer`` grows.

    offer: the agent's own tools. The caller's tools and ``tool_choice`` stand in the turn. Raises ProviderError and its
    kinds, ToolChoiceUnmet, StorageError.
    """

    def __init__(self, run: Run, context: Context, offer: Offer) -> None:
        self._run = run
        self._answer = run.answer
        self._context = context
        self._offer = offer
        turn = run.turn
        # An agent with tools of its own may use them even where the caller's must not be called.
        hidden = turn.tool_choice == "none" and bool(offer.wire)
        self._tools = (*offer.wire, *(() if hidden else turn.tools))
        self._choice = None if hidden or not turn.tools else turn.tool_choice
        self._theirs = _names(turn.tools) if turn.tools and turn.tool_choice != "none" else frozenset()
        self._barred = NOTHING_BARRED
        if turn.allowed is not None:
            self._barred = _barred(self._theirs - turn.allowed, turn.allowed)
            self._theirs &= turn.allowed
        self._demanded = bool(self._theirs) and self._choice not in (None, "auto")
        # What is said while the call that the caller demands is not certain yet.
        self._held: list[TextDelta | RefusalDelta] | None = [] if self._demanded else None
        self._refused = False
        self._ids: set[str] = set()
        self._cache_key = "" if turn.stateless else hashlib.sha256(turn.session_key.encode()).hexdigest()[:32]
        # Tokens of the answer; those of summaries are no part of what the caller bounds.
        self._used = 0

    def __iter__(self) -> Iterator[Event]:
        answer = self._answer
        for _ in range(self._run.turn.agent.max_turns):
            if self._spent():
                break
            calls = Calls(self._theirs)
            completed = yield from self._hear(calls)
            # An answer that was cut short may end in the middle of a call: none of its calls is done.
            made = calls.all() if completed.finish_reason in ("stop", "tool_calls") else []
            if not made:
                # Nor is the model asked again for a call that it announced only: it would cost again, and may go on so.
                self._add(completed, [])
                if self._demanded:
                    raise _unmet()
                answer.finish_reason = "stop" if completed.finish_reason == "tool_calls" else completed.finish_reason
                return
            theirs = [call for call in made if call.shown is not None]
            self._check_demand(theirs)
            todo = orders(made, self._offer, self._barred)
            self._add(completed, _on_record(made, todo))
            yield from self._do(todo, calls.dropped)
            if theirs:
                yield from self._release()
                for call in theirs:
                    yield from call.deltas()
                answer.calls = [_wire(call, call.arguments) for call in theirs]
                answer.finish_reason = "tool_calls"
                return
        if self._demanded:
            raise _unmet()
        log.info("run %s reached its limit of model calls or tokens", self._run.id)
        answer.finish_reason = "length"

    def _hear(self, calls: Calls) -> Generator[Event, None, Completed]:
        """One call of the model. When its window overflows, once more with a shorter history."""
        room = self._room()
        if room is not None and self._context.size() > room:
            compact(self._run, self._context, room)
        try:
            return (yield from self._listen(calls))
        except ContextOverflow:
            # The estimate was wrong, or the window is not known.
            size = self._context.size()
            smaller = int(min(room or size, size) * AFTER_OVERFLOW)
            if self._answer.said or calls.all() or not compact(self._run, self._context, smaller):
                raise
            return (yield from self._listen(calls))

    def _listen(self, calls: Calls) -> Generator[Event, None, Completed]:
        run, answer = self._run, self._answer
        call = ModelCall(
            "",
            self._context.messages(),
            run.deadline,
            self._sampling(),
            tools=self._tools,
            tool_choice=self._choice,
            cache_key=self._cache_key,
            defaults=run.turn.agent.params,
        )
        for delta in run.runs.catalogue.stream(run.choice, call):
            if isinstance(delta, TextDelta):
                if not answer.said and (answer.parts or self._held):
                    yield from self._show(TextDelta(STEP_BREAK))
                answer.said.append(delta.text)
                if self._held is None:
                    answer.parts.append(delta.text)
                    yield delta
                else:
                    self._held.append(delta)
            elif isinstance(delta, ReasoningDelta):
                answer.reasoning.append(delta.text)
                yield delta
            elif isinstance(delta, RefusalDelta):
                yield from self._refuse(delta)
            elif isinstance(delta, ToolCallDelta):
                calls.add(delta, self._ids)
            elif isinstance(delta, Completed):
                answer.usage = answer.usage.plus(delta.usage)
                answer.service_tiers.add(delta.service_tier)
                answer.fingerprint = delta.fingerprint
                self._used += delta.usage.completion
                return delta
            else:
                run.model = delta.model or run.model
                if not answer.steps:
                    yield delta
        raise AssertionError("a provider's stream ends with Completed or raises")

    def _refuse(self, delta: RefusalDelta) -> Iterator[Event]:
        """On record a refusal is text like any other, in its place: the model reads next time what it said."""
        answer = self._answer
        if not answer.said and self._refused:
            yield from self._show(RefusalDelta(STEP_BREAK))
        elif not self._refused and (answer.parts or self._held):
            # With the text, so that the two joined are what is on record.
            if answer.said:
                answer.said.append(STEP_BREAK)
            yield from self._show(TextDelta(STEP_BREAK))
        self._refused = True
        answer.said.append(delta.text)
        yield from self._show(delta)

    def _show(self, delta: TextDelta | RefusalDelta) -> Iterator[Event]:
        if self._held is not None:
            self._held.append(delta)
            return
        (self._answer.parts if isinstance(delta, TextDelta) else self._answer.refusal).append(delta.text)
        yield delta

    def _release(self) -> Iterator[Event]:
        held, self._held = self._held, None
        for delta in held or ():
            yield from self._show(delta)

    def _check_demand(self, theirs: Sequence[Call]) -> None:
        """Raise ToolChoiceUnmet for a call of another tool than the one that the caller names."""
        if isinstance(self._choice, Mapping) and any(call.name != self._choice["function"]["name"] for call in theirs):
            raise _unmet()

    def _add(self, completed: Completed, calls: Sequence[Message]) -> None:
        """Put what the model said on record."""
        message: Message = {"role": "assistant", "content": "".join(self._answer.said)}
        if calls:
            message["content"] = message["content"] or None
            message["tool_calls"] = list(calls)
        if completed.state:
            message["state"] = completed.state
        self._answer.steps.append(message)
        self._answer.said.clear()
        self._context.steps.append(message)

    def _do(self, todo: Sequence[Order], dropped: int) -> Iterator[Event]:
        """Do the agent's own calls; their results go on record as they come."""
        answer = self._answer
        answer.changed = answer.changed or any(
            order.tool is not None and order.tool.changes and not order.fault for order in todo
        )
        before = len(answer.steps)
        yield from perform(self._run, todo, answer.steps, self._result_limit(len(todo)))
        if dropped and todo:
            answer.steps[-1]["content"] += f"\n[{dropped} more calls were not done: {MAX_CALLS} at most in one step]"
        self._context.steps += answer.steps[before:]

    def _room(self) -> int | None:
        """Tokens for messages and tools; None where the window is not known, or the caller keeps the history itself."""
        window = self._run.window
        if window is None or (self._run.turn.stateless and not self._context.steps):
            return None
        asked = self._run.turn.sampling.get("max_tokens", ANSWER_ROOM)
        return window - min(int(asked), int(window * ANSWER_SHARE))

    def _result_limit(self, results: int) -> int:
        window = self._run.window
        if window is None:
            return MAX_RESULT
        return min(MAX_RESULT, int(window * min(RESULT_SHARE, STEP_SHARE / max(results, 1)) * BYTES_PER_TOKEN))

    def _spent(self) -> bool:
        most = self._run.turn.sampling.get("max_tokens")
        return most is not None and bool(self._answer.steps) and self._used >= most

    def _sampling(self) -> Mapping[str, Any]:
        """The caller's bound is for the whole answer: each step has what the earlier ones left."""
        sampling = self._run.turn.sampling
        if self._answer.steps and "max_tokens" in sampling:
            return {**sampling, "max_tokens": sampling["max_tokens"] - self._used}
        return sampling


def _names(tools: Sequence[Mapping[str, Any]]) -> frozenset[str]:
    return frozenset(tool["function"]["name"] for tool in tools)


def _barred(names: frozenset[str], allowed: frozenset[str]) -> dict[str, str]:
    """What the model reads when it calls one of these."""
    known = ", ".join(sorted(allowed))
    fault = f"the user doesn't allow this tool now; of the user's tools only these may be called: {known}"
    return dict.fromkeys(names, fault)


def _on_record(calls: Sequence[Call], todo: Sequence[Order]) -> list[Message]:
    """The calls as the next call of the model reads them: model APIs refuse arguments that are not JSON objects."""
    sound = {order.call.id for order in todo if order.sound}
    return [_wire(call, call.arguments if call.shown is not None or call.id in sound else "{}") for call in calls]


def _wire(call: Call, arguments: str) -> Message:
    return {"id": call.id, "type": "function", "function": {"name": call.name, "arguments": arguments}}


def _unmet() -> ToolChoiceUnmet:
    return ToolChoiceUnmet("the model answered without the tool call that tool_choice demands")
