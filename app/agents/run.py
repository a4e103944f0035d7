"""One run: a turn that is being answered, in a greenlet of its own."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterator
from datetime import date
from typing import TYPE_CHECKING, Any

import gevent
from gevent import Timeout

from app.agents.channel import Channel
from app.agents.events import Ended, Event
from app.agents.loop import Answer, converse
from app.agents.prompt import system_prompt
from app.agents.turn import Turn
from app.errors import GatewayError, InternalError, RunTimeout
from app.ids import new_uuid
from app.sessions import history, store
from app.sessions.store import TurnRecord

if TYPE_CHECKING:
    from app.agents.lanes import Place
    from app.agents.runs import Runs

log = logging.getLogger("gateway.runs")

INTERRUPTED_MARK = " [interrupted]"


class Run:
    """A turn on its way: a door makes it and lets it ``work``, or ``spawn`` s it to hear what happens meanwhile.

    id:      names the run in logs, events and the ``x-openclaw-run-id`` header.
    started: Unix seconds. model: the ``provider/model`` that answers.
    """

    def __init__(self, runs: Runs, turn: Turn) -> None:
        self.id = new_uuid()
        self.turn = turn
        self.model = turn.agent.model.primary
        self.started = time.time()
        self.answer = Answer()
        self.ended: Ended | None = None
        self._runs = runs
        self._places: list[Place] = []
        self._deadline = time.monotonic() + turn.agent.timeout_seconds
        self._events: Channel[Event] = Channel()
        self._sinks: list[Callable[[Event], object]] = []
        self._greenlet: Any = None
        self._working = False
        self._cancelled: GatewayError | None = None
        self._fresh_since: float | None = None

    # What doors call.

    def spawn(self) -> None:
        """Work in a greenlet of its own; ``next_event`` delivers what happens. Raises Overloaded."""
        self._places = self._runs.admit(self)
        self._sinks.append(self._events.put)
        self._greenlet = gevent.spawn(self._main)

    def work(self) -> Ended:
        """Work in the caller's greenlet, for a door that needs no events on the way. The run's end.

        Raises Overloaded; what goes wrong later is in the end's ``error``.
        """
        self._places = self._runs.admit(self)
        self._greenlet = gevent.getcurrent()
        self._main()
        assert self.ended is not None
        return self.ended

    def cancel(self, why: GatewayError) -> bool:
        """End the run now, with ``why`` as its error. False when it has its answer already, or ended."""
        if self._cancelled is not None or self.answer.complete or self.ended is not None:
            return False
        # A run that did not begin yet finds this when it does: killing its greenlet would leave its places taken.
        self._cancelled = why
        gevent.get_hub().loop.run_callback(self._interrupt)
        return True

    def next_event(self, timeout: float | None = None) -> Event | None:
        """The next event; None after ``timeout`` seconds without one, or a ``nudge``."""
        return self._events.get(timeout)

    def events_waiting(self) -> Iterator[Event]:
        """The events that happened already; never waits."""
        return self._events.waiting()

    def nudge(self) -> None:
        """Let the door that waits for an event have a look around."""
        self._events.nudge()

    # What happens in the greenlet.

    def _interrupt(self) -> None:
        # In the hub. A run that reached its end since then is not disturbed while it is stored.
        if self._working:
            self._greenlet.throw(self._cancelled)

    def _main(self) -> None:
        error: GatewayError | None = None
        try:
            error = self._work()
            if not self.turn.stateless:
                self._keep(error)
        except Exception as fault:
            log.exception("run %s failed", self.id)
            error = fault if isinstance(fault, GatewayError) else InternalError(self.turn.request_id or self.id)
        finally:
            for place in self._places:
                place.leave()
            self.ended = Ended(None if error else self.answer.finish_reason, self.answer.usage, error)
            self._publish(self.ended)
            self._runs.ended(self)

    def _work(self) -> GatewayError | None:
        """Wait for the lane, let the agent answer; what went wrong comes back."""
        late = RunTimeout(
            f"the run passed its deadline of {self.turn.agent.timeout_seconds:g} s (agents.defaults.timeoutSeconds)"
        )
        try:
            with Timeout(max(self._deadline - time.monotonic(), 0), late):
                self._working = True
                if self._cancelled is not None:
                    raise self._cancelled
                for place in self._places:
                    place.wait()
                # Only now: turns that wait for their session must not hold the agent's places from other sessions.
                for place in self._runs.agent_places(self.turn):
                    self._places.append(place)
                    place.wait()
                self._converse()
        except GatewayError as error:
            return error
        except Exception:
            log.exception("run %s failed", self.id)
            return InternalError(self.turn.request_id or self.id)
        finally:
            self._working = False
        return None

    def _converse(self) -> None:
        turn = self.turn
        if turn.stateless:
            past, new = [], list(turn.messages)
        else:
            self._fresh_since = self._runs.fresh_since()
            meeting = history.meet(self._runs.sessions.history(turn.session_key, self._fresh_since), turn.messages)
            past, new = meeting.history, meeting.new
            if meeting.foreign:
                log.info("run %s uses the history of its request: session %r holds another", self.id, turn.session_key)
        self.answer.added = new
        system = {"role": "system", "content": system_prompt(turn.agent, turn.instructions, date.today())}
        for event in converse(self._runs.catalogue, turn, [system, *past, *new], self._deadline, self.answer):
            self._publish(event)

    def _keep(self, error: GatewayError | None) -> None:
        """Store the turn, whole or not at all."""
        answer = self.answer
        text = answer.text
        if error is None:
            status = store.DONE
        elif text:
            status, text = store.INTERRUPTED, text + INTERRUPTED_MARK
        else:
            status = store.FAILED
        messages = list(answer.added or self.turn.messages)
        if status != store.FAILED:
            messages.append({"role": "assistant", "content": text})
        self._runs.sessions.record(
            TurnRecord(
                key=self.turn.session_key,
                agent_id=self.turn.agent.id,
                run_id=self.id,
                status=status,
                messages=messages,
                usage=answer.usage,
                model=self.model,
                started_at=self.started,
                ended_at=time.time(),
                error=error.message if error else None,
                channel=self.turn.channel,
            ),
            # As when the history was read: a long answer must not drop the very history that it was given with.
            self._runs.fresh_since() if self._fresh_since is None else self._fresh_since,
        )

    def _publish(self, event: Event) -> None:
        for sink in self._sinks:
            sink(event)
