"""One run as the control plane tells it: the events ``agent`` and ``chat``.

Source: ``ChatEvent`` of ``protocol.schema.json``.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import gevent

from app.agents.events import Ended, Event, ReasoningDelta, RefusalDelta, TextDelta, ToolEnded, ToolStarted
from app.agents.run import Run
from app.errors import ContextOverflow, GatewayError, ProviderRateLimit, RunCancelled
from app.gateway_ws.times import ms
from app.gateway_ws.usage import usage_of
from app.sessions.changes import Change

if TYPE_CHECKING:
    from app.gateway_ws.plane import ControlPlane

# Seconds between two events with text. Each of them has all the text so far.
AGENT_EVERY, CHAT_EVERY = 0.04, 0.15
# Telling many listeners takes time: at most this share of it, for all runs together. Long texts are told less often:
# so many characters a second for each connection.
SHARE = 0.33
CHARACTERS_PER_SECOND = 2_000_000
# Characters of a tool's result that are told.
MAX_RESULT = 20_000

_STOP_REASONS = {"tool_calls": "toolUse"}


class RunFeed:
    """Listens to ``run`` and tells all who may hear of its session. ``done`` is called at the end."""

    def __init__(self, plane: ControlPlane, run: Run, done: Callable[[], object]) -> None:
        self._plane = plane
        self._run = run
        self._done = done
        self._base = {"runId": run.id, "sessionKey": run.turn.session_key, "agentId": run.turn.agent.id}
        self._began = False
        # Where the answer stands in the transcript, so that clients don't take it for another message.
        self._row: dict[str, Any] = {}
        self._agent_seq = self._chat_seq = 0
        text = run.answer.shown
        self._parts = [text] if text else []
        # Characters of the answer that each kind of event has told already.
        self._agent = _Pace(plane, AGENT_EVERY, self._tell_assistant, len(text))
        self._chat = _Pace(plane, CHAT_EVERY, self._tell_delta, len(text))
        self._thought: list[str] = []
        self._thinking = _Pace(plane, AGENT_EVERY, self._tell_thinking, 0)
        run.listen(self._hear)
        # Behind the answer to whoever began the run.
        gevent.get_hub().loop.run_callback(self._begin)

    def stored(self, change: Change) -> None:
        """The turn is on disk, a moment before its end is told."""
        answers = [entry for entry in change.messages if entry.message["role"] == "assistant"]
        if answers:
            self._row = {"id": answers[-1].id, "seq": answers[-1].seq, "runId": self._run.id}

    def _begin(self) -> None:
        if not self._began:
            self._began = True
            self._tell_agent("lifecycle", {"phase": "start", "startedAt": ms(self._run.started)})
            self._tell_session("run-started")

    def _hear(self, event: Event) -> None:
        self._begin()
        if isinstance(event, TextDelta | RefusalDelta):
            self._parts.append(event.text)
            self._agent.more()
            self._chat.more()
        elif isinstance(event, ReasoningDelta):
            if self._plane.services.live.current.gateway.chat_completions.reasoning:
                self._thought.append(event.text)
                self._thinking.more()
        elif isinstance(event, ToolStarted):
            self._flush()
            self._tool(event, {"phase": "start", "args": event.arguments})
        elif isinstance(event, ToolEnded):
            result = {"phase": "result", "result": event.result[:MAX_RESULT], "isError": event.failed}
            self._tool(event, result)
        elif isinstance(event, Ended):
            self._flush()
            self._end(event)

    def _flush(self) -> None:
        for pace in (self._thinking, self._agent, self._chat):
            pace.flush()

    def _tool(self, event: ToolStarted | ToolEnded, data: dict[str, Any]) -> None:
        self._tell_agent("tool", {"name": event.name, "toolCallId": event.id, **data})

    def _tell_assistant(self, told: int) -> int:
        text = self._text()
        self._tell_agent("assistant", {"text": text, "delta": text[told:]})
        return len(text)

    def _tell_thinking(self, told: int) -> int:
        text = "".join(self._thought)
        self._tell_agent("thinking", {"text": text, "delta": text[told:]})
        return len(text)

    def _tell_delta(self, told: int) -> int:
        text = self._text()
        self._tell_chat("delta", {"deltaText": text[told:], "message": self._message(text)})
        return len(text)

    def _text(self) -> str:
        if len(self._parts) > 1:
            self._parts = ["".join(self._parts)]
        return self._parts[0] if self._parts else ""

    def _end(self, ended: Ended) -> None:
        error, text = ended.error, self._text()
        times = {"startedAt": ms(self._run.started), "endedAt": ms(time.time())}
        if error is None:
            reason = _STOP_REASONS.get(ended.finish_reason or "", ended.finish_reason)
            self._tell_agent("lifecycle", {"phase": "end", **times, "stopReason": reason})
            usage = usage_of(ended.usage)
            told = {"stopReason": reason, "usage": usage}
            final = {"message": self._message(text) | told | {"model": self._run.model}} if text else {}
            self._tell_chat("final", {**final, **told})
        elif isinstance(error, RunCancelled):
            self._tell_agent("lifecycle", {"phase": "error", **times, "error": error.message, "aborted": True})
            partial = {"message": self._message(text)} if text else {}
            self._tell_chat("aborted", {**partial, "stopReason": "aborted", "errorMessage": error.message})
        else:
            self._tell_agent("lifecycle", {"phase": "error", **times, "error": error.message})
            partial = {"message": self._message(text)} if text else {}
            told = {"errorMessage": error.message, "errorKind": _kind(error), "stopReason": "error"}
            self._tell_chat("error", {**partial, **told, "usage": usage_of(ended.usage)})
        self._tell_session("run-ended")
        for pace in (self._thinking, self._agent, self._chat):
            pace.end()
        self._done()

    def _tell_session(self, reason: str) -> None:
        turn = self._run.turn
        if not turn.stateless:
            self._plane.sessions_changed(turn.session_key, turn.agent.id, reason)

    def _message(self, text: str) -> dict[str, Any]:
        return {
            "role": "assistant",
            "content": [{"type": "text", "text": text}],
            "timestamp": ms(time.time()),
            **({"__openclaw": self._row} if self._row else {}),
        }

    def _tell_agent(self, stream: str, data: dict[str, Any]) -> None:
        self._agent_seq += 1
        told = {**self._base, "seq": self._agent_seq, "ts": ms(time.time()), "stream": stream, "data": data}
        self._plane.tell_session(self._run.turn.session_key, "agent", told)

    def _tell_chat(self, state: str, data: dict[str, Any]) -> None:
        self._chat_seq += 1
        told = {**self._base, "seq": self._chat_seq, "state": state, **data}
        self._plane.tell_session(self._run.turn.session_key, "chat", told)


class _Pace:
    """Lets something that grows be told at once, and then every so often: nothing is lost, and no event is owed twice.

    tell: given how much was told before, tells the rest and returns how much that makes.
    """

    __slots__ = ("_every", "_free_at", "_more", "_plane", "_tell", "_timer", "_told")

    def __init__(self, plane: ControlPlane, every: float, tell: Callable[[int], int], told: int) -> None:
        self._plane = plane
        self._every = every
        self._tell = tell
        self._told = told
        self._more = False
        self._free_at = 0.0
        self._timer: Any = None

    def more(self) -> None:
        self._more = True
        if self._timer is None:
            wait = self._free_at - time.monotonic()
            if wait <= 0:
                self._go()
            else:
                self._timer = gevent.get_hub().loop.timer(wait)
                self._timer.start(self._due)

    def flush(self) -> None:
        """Tell what is held back now."""
        self._stop()
        if self._more:
            self._go()

    def end(self) -> None:
        """Nothing comes any more: let go of who tells."""
        self._stop()
        self._tell = int

    def _due(self) -> None:
        self._stop()
        self._go()

    def _go(self) -> None:
        self._more = False
        self._told = self._tell(self._told)
        rest = self._plane.runs_cost / SHARE
        self._free_at = time.monotonic() + max(self._every, rest, self._told / CHARACTERS_PER_SECOND)

    def _stop(self) -> None:
        timer, self._timer = self._timer, None
        if timer is not None:
            timer.stop()
            timer.close()


def _kind(error: GatewayError) -> str:
    if error.type == "timeout_error":
        return "timeout"
    if isinstance(error, ProviderRateLimit):
        return "rate_limit"
    return "context_length" if isinstance(error, ContextOverflow) else "unknown"
