"""Runs: how they go, how they are ended at each moment, and what is on disk afterwards."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from dataclasses import replace
from itertools import groupby
from types import SimpleNamespace
from typing import Any

import gevent
import pytest
from gevent.event import Event as Gate

from app.agents import run as run_module
from app.agents import runs as runs_module
from app.agents.calls import INTERRUPTED
from app.agents.events import Began, Ended, ReasoningDelta, TextDelta
from app.agents.run import INTERRUPTED_MARK, MAX_ASKED, Run
from app.config.settings import Gateway, Provider, Session
from app.errors import (
    InternalError,
    InvalidRequest,
    Overloaded,
    ProviderError,
    ProviderRefused,
    RunCancelled,
    RunTimeout,
)
from app.providers.catalogue import Catalogue
from app.providers.stream import Completed, ModelCall, Usage
from app.sessions import history
from tests.agents.scene import (
    BETA,
    MAIN,
    USAGE,
    Play,
    Scene,
    Wanted,
    asks,
    assistant,
    ended,
    events,
    says,
    settings,
    tool,
    turn,
    until,
    user,
)
from tests.scripted import Hang, Reply, ScriptedProvider

GONE = RunCancelled("the client closed its connection")


# How a run goes.


def test_events_come_in_order(scene: Scene) -> None:
    """Began, the deltas as the model made them, and one end with the usage."""
    scene.model.enqueue((Began(), ReasoningDelta("hm"), TextDelta("a"), TextDelta("b"), Completed("length", USAGE)))
    seen = events(scene.start())
    assert [type(event) for event in seen] == [Began, ReasoningDelta, TextDelta, TextDelta, Ended]
    assert seen == [Began(), ReasoningDelta("hm"), TextDelta("a"), TextDelta("b"), Ended("length", USAGE)]


def test_a_door_that_needs_no_events_works_itself(scene: Scene) -> None:
    """``work`` runs the turn in the caller's greenlet and returns its end, with the answer whole and stored."""
    run = Run(scene.runs, turn())
    with gevent.Timeout(10):
        assert run.work() == Ended("stop", USAGE)
    assert run.answer.text == "Hello world"
    assert list(run.events_waiting()) == []
    assert [turn.status for turn in scene.stored()] == ["done"]
    assert scene.at_rest()


def test_every_event_is_true() -> None:
    """A door tells an event from none by its truth, so not even an event without content is false."""
    assert all([Began(), TextDelta(""), ReasoningDelta(""), Ended(None, USAGE)])


def test_waiting_for_an_event_has_an_end(scene: Scene) -> None:
    """When nothing happens, or somebody nudges, the door that waits for an event gets none and may look around."""
    gate = Gate()
    scene.model.enqueue((gate, *says("x")))
    run = scene.start()
    assert run.next_event(0.01) is None
    run.nudge()
    with gevent.Timeout(10):
        assert run.next_event() is None
    run.nudge()
    gate.set()
    ended(run)
    assert list(run.events_waiting()) == [Began(), TextDelta("x"), Ended("stop", USAGE)]


def test_a_turn_is_stored_before_its_end_is_told(scene: Scene) -> None:
    """Whoever sees a run's end without error finds the turn on disk already."""
    run = scene.start("hi")
    assert isinstance(events(run)[-1], Ended)
    (turn,) = scene.stored()
    assert (turn.run_id, turn.status, turn.error) == (run.id, "done", None)
    assert turn.messages == [user("hi"), assistant("Hello world")]


def test_a_stateless_turn_leaves_nothing(scene: Scene) -> None:
    """No session, no turn, no message, whether it ends well or not."""
    scene.answer(key=None)
    scene.model.enqueue((Began(), TextDelta("a"), ProviderError("cut")))
    scene.answer(key=None)
    assert scene.stored() == []
    assert scene.sessions.count() == 0


def test_an_answer_without_text_is_an_answer(scene: Scene) -> None:
    """A model that finishes without a word is done, and its empty answer is on record."""
    scene.model.enqueue(says())
    assert scene.answer().error is None
    assert scene.stored()[0].messages == [user("hi"), assistant("")]


def test_the_model_is_given_system_history_and_message(scene: Scene) -> None:
    """One system message with the request's instructions, then the session's history, then what is new."""
    scene.answer("one")
    scene.answer("two", instructions="Be brief.", sampling={"seed": 7})
    call = scene.model.calls[1]
    system, *rest = call.messages
    assert system["role"] == "system"
    assert system["content"].endswith("Be brief.")
    assert rest == [user("one"), assistant("Hello world"), user("two")]
    assert call.sampling == {"seed": 7}
    assert time.monotonic() < call.deadline <= time.monotonic() + MAIN.timeout_seconds


def test_instructions_are_for_one_run_only(scene: Scene) -> None:
    """System messages of a request are neither stored nor said again."""
    scene.answer("one", instructions="Be brief.")
    scene.answer("two")
    assert "Be brief." not in str(scene.model.calls[1].messages)
    assert "Be brief." not in str(scene.stored())


def test_a_stateless_conversation_is_given_as_it_is(scene: Scene) -> None:
    """History of the request reaches the model whole, a trailing assistant message too."""
    conversation = [user("a"), assistant("b"), user("c"), assistant("d")]
    assert scene.answer(key=None, messages=conversation).error is None
    assert scene.model.calls[0].messages[1:] == conversation


def test_another_conversation_uses_its_own_history(scene: Scene, caplog: pytest.LogCaptureFixture) -> None:
    """A request whose last answer the session doesn't know is run with its own history, and the log says so."""
    scene.answer("one")
    caplog.set_level("INFO", logger="gateway.runs")
    scene.answer(messages=[user("else"), assistant("where"), user("go on")])
    assert scene.model.calls[1].messages[1:] == [user("else"), assistant("where"), user("go on")]
    assert scene.stored()[1].messages == [user("go on"), assistant("Hello world")]
    assert "session 'agent:main:s' holds another" in caplog.text


def test_a_session_is_read_inside_its_lane(scene: Scene) -> None:
    """A turn that waited reads what the one before it wrote, although it came before that was there."""
    gate = Gate()
    scene.model.enqueue((Began(), gate, TextDelta("first"), Completed("stop", USAGE)))
    first, second = scene.start("one"), scene.start("two")
    until(lambda: scene.model.calls)
    gate.set()
    ended(first), ended(second)
    assert scene.model.calls[1].messages[1:] == [user("one"), assistant("first"), user("two")]


def test_turns_of_one_session_go_in_order(scene: Scene) -> None:
    """Callers of one session are served first come, first served, one at a time."""
    scene.live.replace(settings(session=Session(queue_limit=60)))
    runs = [scene.start(str(number)) for number in range(50)]
    assert all(ended(run).error is None for run in runs)
    assert [turn.messages[0]["content"] for turn in scene.stored()] == [str(number) for number in range(50)]
    assert scene.model.most_active == 1
    assert scene.at_rest()


def test_sessions_go_in_parallel(scene: Scene) -> None:
    """Turns of different sessions are with the model at the same time."""
    gate = Gate()
    scene.model.default = (gate, *says("x"))
    runs = [scene.start(key=f"agent:main:{number}") for number in range(50)]
    until(lambda: scene.model.active == 50)
    gate.set()
    assert all(ended(run).error is None for run in runs)


# How runs fail.


def test_a_providers_error_is_the_runs(scene: Scene) -> None:
    """What the provider raised ends the run; the turn is on record, out of the history."""
    fault = ProviderRefused("too long")
    scene.model.enqueue((fault,))
    assert scene.answer("one") == Ended(None, Usage(), fault)
    scene.answer("two")
    assert [(turn.status, turn.error) for turn in scene.stored()] == [("failed", "too long"), ("done", None)]
    assert scene.model.calls[1].messages[1:] == [user("two")]


def test_a_failure_after_text_keeps_the_text(scene: Scene) -> None:
    """A provider that is cut in the middle leaves an interrupted turn that later turns can read."""
    scene.model.enqueue((Began(), TextDelta("Once upon"), ProviderError("cut")))
    assert isinstance(scene.answer("one").error, ProviderError)
    (turn,) = scene.stored()
    assert (turn.status, turn.messages) == ("interrupted", [user("one"), assistant("Once upon" + INTERRUPTED_MARK)])
    scene.answer("two")
    assert scene.model.calls[1].messages[2] == assistant("Once upon [interrupted]")


def test_reasoning_alone_is_not_an_answer(scene: Scene) -> None:
    """A run that is cut while the model only reasoned counts as failed."""
    scene.model.enqueue((Began(), ReasoningDelta("hm"), ProviderError("cut")))
    scene.answer()
    assert scene.stored()[0].status == "failed"


def test_the_unexpected_gets_fixed_text(scene: Scene) -> None:
    """A fault in the code reaches the caller as an internal error with the request id and nothing else."""
    scene.model.enqueue((ValueError("/secret/path"),))
    error = scene.answer(request_id="req-1").error
    assert isinstance(error, InternalError)
    assert error.message == "internal error (request id req-1)"
    assert scene.at_rest()


def test_a_turn_that_cannot_be_stored_is_not_acknowledged(scene: Scene, monkeypatch: pytest.MonkeyPatch) -> None:
    """When the disk refuses the turn, the run ends with an error although the model answered."""

    def full(*_: object) -> None:
        raise OSError("disk full")

    monkeypatch.setattr(scene.sessions, "record", full)
    end = scene.answer()
    assert isinstance(end.error, InternalError)
    assert "disk" not in end.error.message
    assert scene.at_rest()


def test_the_deadline_ends_a_run_that_hangs(scene: Scene) -> None:
    """A model that says nothing more is stopped at the agent's deadline and the place is free."""
    scene.model.enqueue((Began(), Gate()))
    error = scene.answer(agent=replace(MAIN, timeout_seconds=0.05)).error
    assert isinstance(error, RunTimeout)
    assert "0.05 s" in error.message
    assert scene.stored()[0].status == "failed"
    assert scene.at_rest()


def test_the_deadline_counts_the_time_in_the_queue(scene: Scene) -> None:
    """A run that waits for its lane past its deadline ends there; the one before it goes on."""
    gate = Gate()
    scene.model.enqueue((Began(), gate, *says("x")[1:]))
    first, second = scene.start(), scene.start(agent=replace(MAIN, timeout_seconds=0.05))
    assert isinstance(ended(second).error, RunTimeout)
    gate.set()
    assert ended(first).error is None
    assert len(scene.model.calls) == 1
    assert scene.at_rest()


# How runs are cancelled.


@pytest.mark.parametrize("key", ["agent:main:s", None])
def test_cancelled_before_it_began(scene: Scene, key: str | None) -> None:
    """A cancel that comes before the run's greenlet had a chance to begin ends it, and the model isn't asked."""
    run = scene.start(key=key)
    assert run.cancel(GONE)
    assert events(run) == [Ended(None, Usage(), GONE)]
    assert scene.model.calls == []
    assert [turn.status for turn in scene.stored()] == (["failed"] if key else [])
    assert scene.at_rest()


def test_cancelled_in_the_queue(scene: Scene) -> None:
    """A run that waits for its session leaves the queue; those around it go on in order."""
    gate = Gate()
    scene.model.enqueue((gate, *says("one")))
    first, second, third = (scene.start(text) for text in ("1", "2", "3"))
    until(lambda: scene.model.calls)
    assert second.cancel(GONE)
    assert ended(second).error is GONE
    gate.set()
    assert ended(first).error is None
    assert ended(third).error is None
    assert [(turn.messages[0]["content"], turn.status) for turn in scene.stored()] == [
        ("2", "failed"),
        ("1", "done"),
        ("3", "done"),
    ]
    assert scene.model.calls[1].messages[1:] == [user("1"), assistant("one"), user("3")]
    assert scene.at_rest()


def test_cancelled_before_the_first_token(scene: Scene) -> None:
    """The turn stays on record but out of the history, so that a client's retry doubles nothing."""
    scene.model.enqueue((Began(), Gate()))
    run = scene.start("hi")
    until(lambda: scene.model.active)
    assert run.cancel(GONE)
    assert ended(run).error is GONE
    (turn,) = scene.stored()
    assert (turn.status, turn.error, turn.messages) == ("failed", GONE.message, [user("hi")])
    scene.answer("hi")
    assert scene.model.calls[1].messages[1:] == [user("hi")]
    assert scene.at_rest()


def test_cancelled_in_the_middle(scene: Scene) -> None:
    """The text so far is kept with its mark, and the model's stream is closed."""
    scene.model.enqueue((Began(), TextDelta("Once"), TextDelta(" upon"), Gate()))
    run = scene.start("hi")
    until(lambda: run.answer.text == "Once upon")
    assert run.cancel(GONE)
    assert events(run)[-1] == Ended(None, Usage(), GONE)
    (turn,) = scene.stored()
    assert (turn.status, turn.messages) == ("interrupted", [user("hi"), assistant("Once upon [interrupted]")])
    assert scene.at_rest()


def test_cancelled_after_the_end(scene: Scene) -> None:
    """Nothing changes any more, and the cancel says so."""
    run = scene.start()
    end = ended(run)
    assert not run.cancel(GONE)
    assert run.ended is end
    assert [turn.status for turn in scene.stored()] == ["done"]


def test_a_run_in_its_callers_greenlet_can_be_cancelled(scene: Scene) -> None:
    """A cancel reaches a run that works in its door's greenlet, and the door goes on with the run's end."""
    scene.model.enqueue((Began(), TextDelta("half"), Gate()))
    run = Run(scene.runs, turn())
    door = gevent.spawn(lambda: (run.work(), "goes on"))
    until(lambda: run.answer.text)
    assert run.cancel(GONE)
    with gevent.Timeout(10):
        assert door.get() == (Ended(None, Usage(), GONE), "goes on")
    assert [turn.status for turn in scene.stored()] == ["interrupted"]
    assert scene.at_rest()


def test_a_cancel_disturbs_nothing_after_the_run(scene: Scene) -> None:
    """A cancel that is on its way when the run ends doesn't hit what its door's greenlet does next."""
    gate = Gate()
    scene.model.enqueue((gate, *says("x")))
    run = Run(scene.runs, turn(key=None))

    def door() -> str:
        run.work()
        gevent.sleep(0)
        gevent.sleep(0)
        return "undisturbed"

    working = gevent.spawn(door)
    until(lambda: scene.model.active)
    gate.set()
    run.cancel(GONE)
    with gevent.Timeout(10):
        assert working.get() == "undisturbed"


def test_cancelled_twice(scene: Scene) -> None:
    """The first reason stays."""
    scene.model.enqueue((Gate(),))
    run = scene.start()
    until(lambda: scene.model.active)
    assert run.cancel(GONE)
    assert not run.cancel(Overloaded("draining", retry_after=5))
    assert ended(run).error is GONE


def test_a_whole_answer_that_is_being_stored_cannot_be_cancelled(scene: Scene) -> None:
    """While the disk still writes a finished turn, a cancel is too late: the turn is stored whole."""
    gate, go_on = Gate(), threading.Event()
    scene.model.enqueue((Began(), gate, *says("whole")[1:]))
    run = scene.start()
    until(lambda: scene.model.active)
    holding = scene.sessions._journal.submit(lambda connection: go_on.wait(10))
    gate.set()
    until(lambda: run.answer.complete)
    assert not run.cancel(GONE)
    gevent.sleep(0)
    assert run.ended is None
    go_on.set()
    holding.wait()
    assert ended(run) == Ended("stop", USAGE)
    assert [(turn.status, turn.messages[-1]) for turn in scene.stored()] == [("done", assistant("whole"))]


def test_a_cancel_that_meets_the_last_token_halves_nothing(scene: Scene) -> None:
    """When the answer becomes whole while the cancel is on its way, the turn is done and stored whole."""
    gate = Gate()
    scene.model.enqueue((Began(), TextDelta("a"), gate, TextDelta("b"), Completed("stop", USAGE)))
    run = scene.start()
    until(lambda: run.answer.text)
    # Both in one turn of the hub: the model's greenlet is called first, the kill finds it waiting for the disk.
    gate.set()
    run.cancel(GONE)
    assert ended(run) == Ended("stop", USAGE)
    assert [(turn.status, turn.messages[-1]) for turn in scene.stored()] == [("done", assistant("ab"))]
    assert scene.at_rest()


def test_a_listener_that_fails_harms_nobody(scene: Scene, caplog: pytest.LogCaptureFixture) -> None:
    """Neither the run, nor those who listen behind it; the log says so."""
    heard: list[Any] = []

    def fail(event: object) -> None:
        raise RuntimeError("a listener's own fault")

    run = Run(scene.runs, turn())
    run.listen(fail)
    run.listen(heard.append)
    assert run.work() == heard[-1]
    assert scene.at_rest()
    assert "a listener failed" in caplog.text


class _Pause(Gate):
    """A gate that is open, but lets the others work first."""

    def wait(self, timeout: float | None = None) -> bool:
        gevent.sleep(0)
        return True


@pytest.mark.parametrize("native_pause", [0, 0.0005])
def test_a_cancel_at_any_moment_leaves_a_whole_record(scene: Scene, native_pause: float) -> None:
    """Wherever a cancel hits, there is one record: done and whole, a marked beginning, or failed without an answer."""
    tokens = ["a", "b", "c", "d"]
    pause = _Pause()
    steps = [step for token in tokens for step in (pause, TextDelta(token))]
    scene.model.default = (pause, Began(), *steps, pause, Completed("stop", USAGE))
    moments = 40
    for moment in range(moments):
        run = scene.start("hi", key=f"agent:main:{moment}")
        for _ in range(moment):
            gevent.sleep(native_pause)
        cancelled = run.cancel(GONE)
        end = ended(run)
        assert cancelled or end.error is None
        assert end.error in (None, GONE)
        until(scene.at_rest)
        stored = scene.stored()
        assert len(stored) == moment + 1
        turn = stored[-1]
        assert turn.run_id == run.id
        answer = [message["content"] for message in turn.messages[1:]]
        if end.error is None:
            assert (turn.status, answer) == ("done", ["abcd"])
        elif run.answer.text:
            assert (turn.status, answer) == ("interrupted", [run.answer.text + INTERRUPTED_MARK])
            assert "abcd".startswith(run.answer.text)
        else:
            assert (turn.status, answer) == ("failed", [])


class _Trap(_Pause):
    """Cancels the run when it is passed for the n-th time."""

    def __init__(self, run: Callable[[], Run], moment: int) -> None:
        super().__init__()
        self._run = run
        self._left = moment

    def wait(self, timeout: float | None = None) -> bool:
        self._left -= 1
        if self._left == 0:
            self._run().cancel(GONE)
        return super().wait(timeout)


def test_a_cancel_at_any_moment_leaves_every_call_with_a_result(scene: Scene) -> None:
    """Wherever a cancel hits a run with tools, the next turn reads what was done, and no call without its result."""
    calls = [Wanted(f"c{n}", "beside" if n < 2 else "alone", f'{{"n":{n}}}') for n in range(4)]
    plays = {"user": asks(*calls, text="Wait."), "tool": says("Done.")}
    statuses: list[str] = []
    for moment in range(1, 100):
        key = f"agent:main:{moment}"
        run = Run(scene.runs, turn("hi", key=key))
        trap = _Trap(lambda run=run: run, moment)  # type: ignore[misc]

        def work(_run: object, arguments: dict[str, Any], trap: Gate = trap) -> str:
            for _ in range(3):
                trap.wait()
            return str(arguments["n"])

        def play(call: ModelCall, trap: Gate = trap) -> Play:
            return tuple(each for step in plays[call.messages[-1]["role"]] for each in (trap, step))

        scene.tools.tools = [tool("alone", work), tool("beside", work, concurrent=True)]
        scene.model.decide = play
        run.spawn()
        end = ended(run)
        until(scene.at_rest)
        stored = scene.stored()[-1]
        statuses.append(stored.status)
        assert (stored.status == "done") is (end.error is None)
        assert history.paired(stored.messages) == stored.messages
        results = [message["content"] for message in stored.messages if message["role"] == "tool"]
        known = [(f"{n}", INTERRUPTED, history.NO_RESULT) for n in range(4)]
        assert all(content in known[n] for n, content in enumerate(results))
        scene.model.decide = lambda _call: None
        scene.answer("next", key=key)
        before = [] if stored.status == "failed" else stored.messages
        assert scene.model.calls[-1].messages[1:] == [*before, user("next")]
        if statuses[-2:] == ["done", "done"]:
            break
    # One after the other as the run gets further, and each of them was met.
    assert [status for status, _ in groupby(statuses)] == ["failed", "interrupted", "done"]


def test_a_cancel_closes_the_providers_connection(scene: Scene, provider: ScriptedProvider) -> None:
    """Over real HTTP too, the provider sees its connection close and the session's next turn begins."""
    entry = Provider(id="fake", base_url=provider.base_url)
    catalogue = Catalogue(settings(providers=(entry,)), SimpleNamespace())  # type: ignore[arg-type]
    scene.runs._catalogue = lambda: catalogue
    provider.enqueue(Hang(), Reply("Hello"))
    run = scene.start("one")
    until(lambda: provider.requests)
    assert run.cancel(GONE)
    assert ended(run).error is GONE
    assert provider.requests[0].closed.wait(0.5)
    assert scene.answer("two").error is None


# How many runs there may be.


def test_too_many_runs_are_refused(scene: Scene) -> None:
    """Beyond ``gateway.maxRuns`` a start is refused with Retry-After; when one ends there is room again."""
    scene.live.replace(settings(gateway=Gateway(max_runs=2)))
    gate = Gate()
    scene.model.default = (gate, *says("x"))
    runs = [scene.start(key=None), scene.start(key=None)]
    with pytest.raises(Overloaded, match="maxRuns") as refused:
        scene.start(key=None)
    assert int(refused.value.headers["Retry-After"]) > 0
    gate.set()
    assert all(ended(run).error is None for run in runs)
    assert scene.answer(key=None).error is None


def test_a_full_queue_refuses_and_takes_nothing(scene: Scene) -> None:
    """A turn beyond ``session.queueLimit`` is refused at once and counts nowhere."""
    scene.live.replace(settings(session=Session(queue_limit=1)))
    gate = Gate()
    scene.model.default = (gate, *says("x"))
    runs = [scene.start(), scene.start()]
    with pytest.raises(Overloaded, match="queueLimit"):
        scene.start()
    assert len(scene.runs) == 2
    other = scene.start(key="agent:main:other")
    gate.set()
    assert all(ended(run).error is None for run in (*runs, other))
    assert scene.at_rest()


def test_a_draining_gateway_takes_no_runs(scene: Scene) -> None:
    """From the beginning of the drain new turns are refused with Retry-After, and running ones go on."""
    gate = Gate()
    scene.model.enqueue((gate, *says("x")))
    run = scene.start()
    scene.runs.draining = True
    with pytest.raises(Overloaded, match="shutting down") as refused:
        scene.start()
    assert int(refused.value.headers["Retry-After"]) > 0
    gate.set()
    assert ended(run).error is None


def test_the_end_of_the_drain_cancels_all(scene: Scene) -> None:
    """Running, waiting and just started runs all end with the reason of the drain, and are on record."""
    scene.model.default = (Began(), TextDelta("half"), Gate())
    active, waiting = scene.start(), scene.start()
    until(lambda: active.answer.text)
    fresh = scene.start(key="agent:main:other")
    why = Overloaded("the gateway is shutting down", retry_after=5)
    scene.runs.cancel_all(why)
    assert [ended(run).error for run in (active, waiting, fresh)] == [why] * 3
    assert sorted(turn.status for turn in scene.stored()) == ["failed", "failed", "interrupted"]
    assert scene.at_rest()


def test_an_agent_runs_so_many_at_once(scene: Scene) -> None:
    """``maxConcurrent`` bounds an agent over all its sessions and stateless calls; other agents don't wait for it."""
    gate = Gate()
    scene.model.default = (gate, *says("x"))
    narrow = replace(MAIN, max_concurrent=2)
    runs = [scene.start(key=f"agent:main:{number}", agent=narrow) for number in range(4)]
    runs += [scene.start(key=None, agent=narrow) for _ in range(3)]
    other = scene.start(key="agent:beta:s", agent=BETA)
    until(lambda: scene.model.active == 3)
    gate.set()
    assert all(ended(run).error is None for run in (*runs, other))
    assert scene.model.most_active == 3
    assert scene.at_rest()


def test_a_sessions_queue_does_not_use_up_the_agent(scene: Scene) -> None:
    """Turns that wait for their own session leave the agent's places to other sessions."""
    gate = Gate()
    scene.model.enqueue((gate, *says("slow")))
    narrow = replace(MAIN, max_concurrent=2)
    busy = [scene.start(agent=narrow) for _ in range(5)]
    until(lambda: scene.model.calls)
    assert scene.answer(key="agent:main:other", agent=narrow).error is None
    gate.set()
    assert all(ended(run).error is None for run in busy)
    assert scene.at_rest()


def test_cancelled_while_the_agent_is_busy(scene: Scene) -> None:
    """A run that has its session's turn and waits for its agent's gives both back."""
    gate = Gate()
    scene.model.enqueue((gate, *says("x")))
    narrow = replace(MAIN, max_concurrent=1)
    first, second = scene.start(key="agent:main:a", agent=narrow), scene.start(key="agent:main:b", agent=narrow)
    until(lambda: scene.model.calls)
    assert second.cancel(GONE)
    assert ended(second).error is GONE
    gate.set()
    assert ended(first).error is None
    assert scene.at_rest()


# Idle sessions.


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> SimpleNamespace:
    """What the runs take for the time of day."""
    clock = SimpleNamespace(now=time.time())
    for module in (run_module, runs_module):
        monkeypatch.setattr(module, "time", SimpleNamespace(time=lambda: clock.now, monotonic=time.monotonic))
    return clock


def test_an_idle_session_begins_anew(scene: Scene, clock: SimpleNamespace) -> None:
    """After ``session.reset.idleMinutes`` without a turn the history begins with the next one."""
    scene.live.replace(settings(session=Session(idle_minutes=30)))
    scene.answer("one")
    scene.answer("two")
    clock.now += 31 * 60
    scene.answer("three")
    scene.answer("four")
    histories = [[message["content"] for message in call.messages[1:]] for call in scene.model.calls]
    assert histories[1] == ["one", "Hello world", "two"]
    assert histories[2] == ["three"]
    assert histories[3] == ["three", "Hello world", "four"]


def test_a_long_answer_does_not_drop_its_own_history(scene: Scene, clock: SimpleNamespace) -> None:
    """A turn that began in time keeps the session, however long its answer takes."""
    scene.live.replace(settings(session=Session(idle_minutes=30)))
    scene.answer("one")
    clock.now += 29 * 60
    gate = Gate()
    scene.model.enqueue((gate, *says("slow")))
    run = scene.start("two")
    until(lambda: scene.model.active)
    clock.now += 5 * 60
    gate.set()
    ended(run)
    scene.answer("three")
    assert [message["content"] for message in scene.model.calls[2].messages[1:]] == [
        "one",
        "Hello world",
        "two",
        "slow",
        "three",
    ]


# What comes before the model.


def test_what_prepares_a_turn_may_refuse_it(scene: Scene) -> None:
    """Its error is the run's, and the model is not asked."""

    def refuse() -> None:
        raise InvalidRequest("no image", param="messages[0]")

    assert isinstance(scene.answer(prepare=refuse).error, InvalidRequest)
    assert scene.model.calls == []
    assert scene.at_rest()


def test_what_prepares_a_turn_has_the_runs_deadline(scene: Scene) -> None:
    """A slow image host ends with the run's time, and a cancel reaches it."""
    late = replace(MAIN, timeout_seconds=0.05)
    assert isinstance(scene.answer(agent=late, prepare=Gate().wait).error, RunTimeout)
    waiting = scene.start(prepare=Gate().wait)
    gevent.sleep(0)
    assert waiting.cancel(RunCancelled("gone"))
    assert isinstance(ended(waiting).error, RunCancelled)
    assert scene.at_rest()


def test_a_run_leads_to_so_many_others(scene: Scene) -> None:
    """However the sessions that it asks ask on."""
    first = scene.start()
    asked = [first.ask(f"agent:main:{number}", "hi") for number in range(MAX_ASKED - 1)]
    asked.append(asked[0].ask("agent:main:deep", "hi"))
    for run in (first, *asked):
        with pytest.raises(Overloaded, match=str(MAX_ASKED)):
            run.ask("agent:main:more", "hi")
    for run in (first, *asked):
        ended(run)
