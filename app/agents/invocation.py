"""One tool, called by whoever talks to the gateway: under the policy, bounds and drain of runs, but without a model."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any, NamedTuple

import orjson

from app.agents.calls import MAX_ARGUMENTS, Call, Order, perform
from app.agents.loop import MAX_RESULT
from app.agents.run import Run
from app.agents.tools.policy import refused_to_clients
from app.agents.tools.tool import Tool
from app.agents.turn import Turn
from app.errors import RunTimeout
from app.ids import new_call_id
from app.providers.stream import Message
from app.sessions import keys

if TYPE_CHECKING:
    from app.agents.runs import Runs

# Seconds that a tool has; less where the agent's runs have less.
MOST_SECONDS = 120.0

NOT_ALLOWED, INVALID_ARGUMENTS, FAILED, TIMEOUT = "TOOL_NOT_ALLOWED", "INVALID_ARGUMENTS", "TOOL_FAILED", "TIMEOUT"


class Outcome(NamedTuple):
    """What came of it. text: the tool's result or what went wrong. fault: one of the above; None when it went well."""

    text: str
    fault: str | None = None


class Invocation(Run):
    """A run in which one tool works and nobody asks a model. It doesn't wait for the session's turns, nor is it one.

    turn:   as for a run in the session, without messages; it decides what the tool sees, and which tools there are.
    begun:  the tool is, or was, at work. tool: the one that was found.
    """

    def __init__(self, runs: Runs, turn: Turn, name: str, arguments: dict[str, Any]) -> None:
        seconds = min(turn.agent.timeout_seconds, MOST_SECONDS)
        agent = replace(turn.agent, timeout_seconds=seconds, max_concurrent=None)
        super().__init__(runs, turn._replace(agent=agent, session_key=keys.stateless(agent.id), stateless=True))
        self.begun = False
        self.tool: Tool | None = None
        # What the tool takes for its run: in the session itself.
        self._in_session = Run(runs, turn._replace(agent=agent), id=self.id)
        self._name = name
        self._arguments = arguments
        self._outcome: Outcome | None = None

    def invoke(self) -> Outcome:
        """Do it, in the caller's greenlet. Raises Overloaded, and what ended it before the tool began."""
        error = self.work().error
        if self._outcome is not None:
            return self._outcome
        assert error is not None
        name, in_part = self._name[:64], "; it may be done in part" if self.begun else ""
        if isinstance(error, RunTimeout):
            return Outcome(f"{name} took longer than {self.turn.agent.timeout_seconds:g} s{in_part}", TIMEOUT)
        if self.begun:
            return Outcome(f"{name} was ended: {error.message}{in_part}", FAILED)
        raise error.again()

    def _converse(self) -> None:
        turn = self._in_session.turn
        self.offer = offer = self.runs.toolbox.offer(turn)
        self._in_session.window = self.runs.catalogue.window(turn.agent, self.choice)
        self.tool = offer.tools.get(self._name)
        if self.tool is None:
            self._outcome = Outcome(self._refusal(turn), NOT_ALLOWED)
        elif refusal := refused_to_clients(self.runs.settings, self.tool.name, self.tool.full_name):
            self._outcome = Outcome(f"{self.tool.name}: {refusal.reason}", NOT_ALLOWED)
        elif fault := self._fault(self.tool):
            self._outcome = Outcome(fault, INVALID_ARGUMENTS)
        else:
            self._outcome = self._do(self.tool)
        self.answer.finish_reason = "stop"

    def _refusal(self, turn: Turn) -> str:
        name, refusal = self._name[:64], self.runs.toolbox.withheld(turn).get(self._name)
        return f"{name}: {refusal.reason}" if refusal else f"there is no tool {name!r}"

    def _fault(self, tool: Tool) -> str:
        size = len(orjson.dumps(self._arguments))
        if size > MAX_ARGUMENTS:
            return f"the arguments have {size:,} bytes, more than {MAX_ARGUMENTS:,}"
        return tool.fault_of(self._arguments)

    def _do(self, tool: Tool) -> Outcome:
        order = Order(Call(new_call_id(), tool.name, None), tool, self._arguments)
        results: list[Message] = []
        for event in perform(self._in_session, [order], results, MAX_RESULT):
            self.begun = True
            self._publish(event)
        [result] = results
        text = str(result["content"])
        return Outcome(text.removeprefix("error: "), FAILED) if result.get("failed") else Outcome(text)
