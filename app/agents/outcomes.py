"""How runs ended, for those who ask later or wait for it."""

from __future__ import annotations

from collections import OrderedDict
from typing import TYPE_CHECKING, NamedTuple

from gevent.event import AsyncResult

from app.errors import GatewayError
from app.providers.stream import Usage

if TYPE_CHECKING:
    from app.agents.run import Run

# Runs whose end is remembered. Those in a session are on disk as well.
REMEMBERED = 200


class Outcome(NamedTuple):
    """How a run ended. Times are Unix seconds."""

    run_id: str
    session_key: str
    agent_id: str
    started: float
    ended: float
    finish_reason: str | None
    usage: Usage
    model: str
    error: GatewayError | None


class Outcomes:
    """The latest ends of runs, by run id."""

    def __init__(self) -> None:
        self._known: OrderedDict[str, Outcome] = OrderedDict()
        self._waiting: dict[str, list[AsyncResult[Outcome]]] = {}

    def keep(self, run: Run, now: float) -> None:
        """Remember the end of ``run``, and tell those who wait for it."""
        assert run.ended is not None
        outcome = Outcome(
            run.id,
            run.turn.session_key,
            run.turn.agent.id,
            run.started,
            now,
            run.ended.finish_reason,
            run.ended.usage,
            run.model,
            run.ended.error,
        )
        self._known[run.id] = outcome
        if len(self._known) > REMEMBERED:
            self._known.popitem(last=False)
        for waiting in self._waiting.pop(run.id, ()):
            waiting.set(outcome)

    def get(self, run_id: str) -> Outcome | None:
        return self._known.get(run_id)

    def wait(self, run_id: str, seconds: float) -> Outcome | None:
        """The end of the run, which may not even have begun; None when it takes longer."""
        if (known := self._known.get(run_id)) is not None or seconds <= 0:
            return known
        waiting: AsyncResult[Outcome] = AsyncResult()
        others = self._waiting.setdefault(run_id, [])
        others.append(waiting)
        try:
            return waiting.wait(seconds)
        finally:
            others.remove(waiting)
            if not others and self._waiting.get(run_id) is others:
                del self._waiting[run_id]
