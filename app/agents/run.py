"""One run: a turn that is being answered, in a greenlet of its own."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterator
from datetime import date
from typing import TYPE_CHECKING, Any

import gevent
from gevent import Timeout

from app.agents.answer import Answer
from app.agents.channel import Channel
from app.agents.context import Context
from app.agents.events import Ended, Event
from app.agents.loop import Loop
from app.agents.prompt import system_prompt
from app.agents.registry import may_be_chosen
from app.agents.turn import Turn
from app.config.settings import ModelChoice
from app.errors import Conflict, GatewayError, InvalidRequest, Overloaded, RunTimeout, StorageUnavailable, unexpected
from app.ids import new_uuid
from app.providers.images import has_images, without_images
from app.providers.stream import Message
from app.sessions import history, store
from app.sessions.answers import AnswerRecord
from app.sessions.history import PastTurn
from app.sessions.store import TurnRecord

if TYPE_CHECKING:
    from app.agents.lanes import Place
    from app.agents.runs import Runs
    from app.agents.tools.toolbox import Offer

log = logging.getLogger("gateway.runs")

INTERRUPTED_MARK = " [interrupted]"

# Runs that one of a caller's may lead to: a model that asks in eight sessions at once, which ask in turn, must end.
MAX_ASKED = 16


class Run:
    """A turn on its way: a door makes it and lets it ``work``, or ``spawn`` s it to hear what happens meanwhile.

    id:       names the run in logs, events and the ``x-openclaw-run-id`` header; a door may have one already.
    runs:     what all runs of this process share. choice: the models to ask. model: the one that answers.
    started:  Unix seconds. deadline: ``time.monotonic()`` when the run is ended.
    window:   tokens of the model's context window, where known. offer: the agent's own tools, once the run works.
    keepsake: what to keep of a good end for an ``Idempotency-Key``: stored with the turn, both or none of them.
    """

    def __init__(self, runs: Runs, turn: Turn, asked_by: Run | None = None, id: str | None = None) -> None:
        self.id = id or new_uuid()
        self.runs = runs
        self.turn = turn
        self.choice = turn.model or turn.agent.model
        self.model = self.choice.primary
        self.started = time.time()
        self.deadline = time.monotonic() + turn.agent.timeout_seconds
        self.window: int | None = None
        self.offer: Offer | None = None
        self.keepsake: Callable[[Ended], AnswerRecord | None] | None = None
        self.answer = Answer()
        self.ended: Ended | None = None
        # At the end of the chain stands the run that a caller began.
        self._asked_by = asked_by
        self._asked = 0
        self._places: list[Place] = []
        self._events: Channel[Event] = Channel()
        self._sinks: list[Callable[[Event], object]] = []
        self._greenlet: Any = None
        self._working = False
        self._cancelled: GatewayError | None = None
        self._fresh_since: float | None = None

    # What doors call.

    @property
    def admitted(self) -> bool:
        """It has its place: ``Ended`` is owed to those who listen."""
        return self._greenlet is not None

    def spawn(self, *, heard: bool = True) -> None:
        """Work in a greenlet of its own; if ``heard``, ``next_event`` delivers what happens.

        Raises Overloaded, Conflict.
        """
        self._places = self.runs.admit(self)
        if heard:
            self.listen(self._events.put)
        self._greenlet = gevent.spawn(self._main)

    def work(self) -> Ended:
        """Work in the caller's greenlet, for a door that needs no events on the way. The run's end.

        Raises Overloaded; what goes wrong later is in the end's ``error``.
        """
        self._places = self.runs.admit(self)
        self._greenlet = gevent.getcurrent()
        self._main()
        assert self.ended is not None
        return self.ended

    def listen(self, sink: Callable[[Event], object]) -> None:
        """Call ``sink`` with all that happens from now on, in the run's greenlet: it must not wait."""
        self._sinks.append(sink)

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

    def wait(self, seconds: float) -> Ended | None:
        """The end of a spawned run; None when it takes longer."""
        self._greenlet.join(seconds)
        return self.ended

    def ask(self, session_key: str, message: str) -> Run:
        """Begin a run of the same agent in another of its sessions, on behalf of this one. Raises Overloaded."""
        root = self
        while root._asked_by is not None:
            root = root._asked_by
        if root._asked >= MAX_ASKED:
            raise Overloaded(f"this run led to {MAX_ASKED} others already", retry_after=0)
        root._asked += 1
        turn = self.turn
        asked = Turn(
            agent=turn.agent,
            session_key=session_key,
            stateless=False,
            messages=[{"role": "user", "content": message}],
            admin=turn.admin,
            identity=turn.identity,
            channel="sessions_send",
            request_id=turn.request_id,
            behind=(*turn.behind, turn.session_key),
        )
        run = Run(self.runs, asked, asked_by=self)
        run.spawn(heard=False)
        return run

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
            kept = None if error or self.keepsake is None else self.keepsake(self._end(None))
            if not self.turn.stateless:
                self._keep(error, kept)
            elif kept is not None:
                self._keep_answer(kept)
        except GatewayError as fault:
            # What went wrong first is what its caller can do something about.
            error = error or fault
        except Exception as fault:
            log.exception("run %s failed", self.id)
            error = unexpected(fault, self.turn.request_id or self.id)
        finally:
            for place in self._places:
                place.leave()
            if error is not None:
                error.let_go()
            self.ended = self._end(error)
            # It knows the door, which knows the run: nothing would be freed before the next search for garbage.
            self.keepsake = None
            self._publish(self.ended)
            self._sinks.clear()  # they know this run, too
            self.runs.ended(self)

    def _end(self, error: GatewayError | None) -> Ended:
        return Ended(None if error else self.answer.finish_reason, self.answer.usage, error)

    def _work(self) -> GatewayError | None:
        """Wait for the lane, let the agent answer; what went wrong comes back."""
        late = RunTimeout(
            f"the run passed its deadline of {self.turn.agent.timeout_seconds:g} s (agents.defaults.timeoutSeconds)"
        )
        try:
            with Timeout(max(self.deadline - time.monotonic(), 0), late):
                self._working = True
                if self._cancelled is not None:
                    raise self._cancelled
                if self.turn.prepare is not None:
                    self.turn.prepare()
                for place in self._places:
                    place.wait()
                # Only now: turns that wait for their session must not hold the agent's places from other sessions.
                for place in self.runs.agent_places(self.turn):
                    self._places.append(place)
                    place.wait()
                self._converse()
        except GatewayError as error:
            return error
        except Exception as fault:
            log.exception("run %s failed", self.id)
            return unexpected(fault, self.turn.request_id or self.id)
        finally:
            self._working = False
        return None

    def _converse(self) -> None:
        turn = self.turn
        runs = self.runs
        summary, past, new = self._conversation()
        # The session may ask for another model than its agent, and what is allowed may depend on it.
        asked = turn if self.choice is turn.agent.model else turn._replace(model=self.choice)
        self.offer = offer = runs.toolbox.offer(asked)
        _check_names(turn, offer)
        self.window = runs.catalogue.window(turn.agent, self.choice)
        if (past or has_images(new)) and not runs.catalogue.takes_images(self.choice):
            past, new = _without_images(past, new, self.choice.primary)
        context = Context(
            system_prompt(turn.agent, turn.instructions, date.today(), self.window),
            past,
            new,
            summary=summary,
            tools=(*offer.wire, *turn.tools),
        )
        for event in Loop(self, context, offer):
            self._publish(event)
        if turn.stateless and self.answer.calls:
            runs.continuations.keep(turn, self.answer)

    def _conversation(self) -> tuple[str, list[PastTurn], list[Message]]:
        """(what was said before, in short; the turns since; the messages of this turn). Raises InvalidRequest."""
        turn, sessions = self.turn, self.runs.sessions
        if turn.stateless:
            self.answer.added = list(turn.messages)
            return "", [], history.meet((), self.runs.continuations.expand(turn)).new
        # It may have failed while the turn waited for its session.
        sessions.check()
        self._fresh_since = self.runs.fresh_since()
        summary, stored, chosen = sessions.history(turn.session_key, self._fresh_since)
        self._prefer(chosen)
        meeting = history.meet(stored, turn.messages)
        if summary and (meeting.foreign or not stored):
            # The reply that the request goes on from may be one that the summary stands for.
            whole = sessions.history(turn.session_key, self._fresh_since, whole=True).turns
            if history.holds_reply(whole, turn.messages):
                known = history.meet(whole, turn.messages)
                meeting = history.Meeting(stored, known.new)
        if meeting.foreign:
            summary = ""
            log.info("run %s uses the history of its request: session %r holds another", self.id, turn.session_key)
        self.answer.added = meeting.new
        return summary, meeting.past, meeting.new

    def _prefer(self, chosen: str | None) -> None:
        """Ask the ``provider/model`` that was chosen for the session, unless the turn names one itself."""
        if chosen is None or self.turn.model is not None:
            return
        if may_be_chosen(chosen, self.turn.agent, self.runs.catalogue):
            self.choice = ModelChoice(chosen)
            self.model = chosen
        else:
            log.warning(
                "run %s: session %r has a model that is not configured, or not allowed: %s is asked instead of %s",
                self.id,
                self.turn.session_key,
                self.model,
                chosen,
            )

    def _keep(self, error: GatewayError | None, kept: AnswerRecord | None) -> None:
        """Store the turn, whole or not at all. kept: with it."""
        answer = self.answer
        messages = list(answer.added or self.turn.messages)
        if error is None:
            status = store.DONE
            messages += answer.steps
        elif answer.parts or answer.refusal or any("tool_calls" in message for message in answer.steps):
            status = store.INTERRUPTED
            messages += history.paired(answer.steps)
            messages.append({"role": "assistant", "content": "".join(answer.said) + INTERRUPTED_MARK})
        elif isinstance(error, StorageUnavailable):
            return  # nothing was said, and it can't be told that nothing was
        else:
            status = store.FAILED
        self.runs.sessions.record(
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
            self.runs.fresh_since() if self._fresh_since is None else self._fresh_since,
            kept,
        )

    def _keep_answer(self, kept: AnswerRecord) -> None:
        """That of a stateless turn: it leaves nothing behind, so its caller has it whether it can be kept or not."""
        try:
            self.runs.sessions.answers.keep(kept)
        except (StorageUnavailable, Conflict) as fault:
            log.warning("run %s: its answer is not kept for its Idempotency-Key: %s", self.id, fault.message)

    def _publish(self, event: Event) -> None:
        for sink in self._sinks:
            try:
                sink(event)
            except Exception:
                # Who listens must not be able to end what others wait for.
                log.exception("run %s: a listener failed", self.id)


def _check_names(turn: Turn, offer: Offer) -> None:
    """Raise InvalidRequest where a tool of the caller has the name of one that the agent is offered."""
    for index, tool in enumerate(turn.tools):
        name = tool["function"]["name"]
        if name in offer.tools:
            where = f"tools[{index}].function.name"
            raise InvalidRequest(f"{where}: the agent has a tool of its own that is called {name!r}", param=where)


def _without_images(past: list[PastTurn], new: list[Message], model: str) -> tuple[list[PastTurn], list[Message]]:
    """For a model that takes none: those of earlier turns become a word. Raises InvalidRequest for this turn's own."""
    last_reply = max((i for i, message in enumerate(new) if message["role"] == "assistant"), default=-1)
    if has_images(new[last_reply + 1 :]):
        raise InvalidRequest(
            f"the model {model} takes no images; where it does, its entry in models.providers needs "
            'input: ["text", "image"]',
            param="messages",
        )
    past = [PastTurn(turn.id, [without_images(message) for message in turn.messages]) for turn in past]
    return past, [without_images(message) for message in new]
