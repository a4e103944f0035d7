"""Retries and fallbacks: how many, when, in which order, and when not.

The waits are ``time.sleep``, which gunicorn's worker has patched and this process has not: here they are recorded.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from typing import Any

import pytest

from app.errors import (
    ContextOverflow,
    ProviderAuthError,
    ProviderError,
    ProviderFault,
    ProviderOutOfCredit,
    ProviderRateLimit,
    ProviderRefused,
    ProviderTimeout,
)
from app.providers import failover
from app.providers.failover import (
    ASIDE,
    ASIDE_MOST,
    JITTER,
    MOST_RECORDS,
    WAITS,
    Candidate,
    Standing,
    stream_with_failover,
)
from app.providers.stream import (
    Began,
    Completed,
    Delta,
    ModelCall,
    ReasoningDelta,
    TextDelta,
    ToolCallDelta,
    Usage,
)
from tests.providers.scene import call

DONE = Completed("stop", Usage(1, 1))
BUSY = ProviderError("busy")
# What another model may do better.
PASSED_ON = [
    ProviderError("unreachable"),
    ProviderRateLimit("slow down"),
    ProviderOutOfCredit("no credit"),
    ProviderAuthError("key"),
    ProviderTimeout("silent"),
    ProviderFault("no such model"),
]
REFUSED = [ProviderRefused("bad"), ContextOverflow("too long")]
TOKENS = [TextDelta("a"), ReasoningDelta("hm"), ToolCallDelta(0, "c1", "f")]


class Clock:
    """Takes the place of the module's clock: no time passes but what is slept, or what a test lets pass."""

    def __init__(self) -> None:
        self.slept: list[float] = []
        self.passed = 0.0
        self._began = time.monotonic()

    def sleep(self, seconds: float) -> None:
        self.slept.append(seconds)

    def monotonic(self) -> float:
        return self._began + self.passed + sum(self.slept)


@pytest.fixture(autouse=True)
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    clock = Clock()
    monkeypatch.setattr(failover, "time", clock)
    return clock


@pytest.fixture
def standing() -> Standing:
    return Standing()


class Scripted:
    """A provider that plays one list for each call: deltas, and an error that ends it. With none left it answers."""

    def __init__(self, *plays: list[Delta | Exception]) -> None:
        self.plays = list(plays)
        self.calls: list[ModelCall] = []
        self.open = 0

    def stream(self, asked: ModelCall) -> Iterator[Delta]:
        self.calls.append(asked)
        self.open += 1
        try:
            for step in self.plays.pop(0) if self.plays else [Began(), TextDelta("a"), DONE]:
                if isinstance(step, Exception):
                    raise step
                yield step
        finally:
            self.open -= 1


def failing(error: Exception, *before: Delta) -> list[Delta | Exception]:
    return [*before, error]


def candidates(*providers: Scripted) -> list[Candidate]:
    """p0/m/0, p1/m/1 …"""
    return [Candidate(f"p{place}/m/{place}", provider) for place, provider in enumerate(providers)]


def ask(*providers: Scripted, standing: Standing | None = None, asked: ModelCall | None = None) -> list[Delta]:
    """What a reader gets who, as the gateway does, reads no further than the last delta."""
    found = []
    for delta in stream_with_failover(candidates(*providers), asked or call(), standing or Standing()):
        found.append(delta)
        if isinstance(delta, Completed):
            break
    return found


def refusal(*providers: Scripted, standing: Standing | None = None, asked: ModelCall | None = None) -> Exception:
    with pytest.raises(Exception) as refused:  # noqa: PT011 - the caller looks which one it is
        ask(*providers, standing=standing, asked=asked)
    return refused.value


def answer_of(place: int) -> list[Delta]:
    return [Began(f"p{place}/m/{place}"), TextDelta("a"), DONE]


# One model.


def test_a_call_that_works_is_made_once(clock: Clock) -> None:
    """Without a fault there is no second call and no wait, and the provider is asked for its own name of the model."""
    provider, asked = Scripted(), call()
    assert ask(provider, asked=asked) == answer_of(0)
    assert provider.calls == [asked._replace(model="m/0")]
    assert clock.slept == []


@pytest.mark.parametrize("faults", [1, 2])
def test_a_fault_that_passes_is_not_seen(faults: int) -> None:
    """Up to two faults before the first token are waited out, with the same call."""
    provider = Scripted(*[failing(BUSY)] * faults)
    assert ask(provider) == answer_of(0)
    assert len(provider.calls) == faults + 1
    assert len(set(map(repr, provider.calls))) == 1


def test_the_third_fault_is_the_answer(clock: Clock) -> None:
    """There are two retries at most, and their waits are 0.84 s in all at most."""
    last = ProviderError("still busy")
    provider = Scripted(failing(BUSY), failing(BUSY), failing(last))
    assert refusal(provider) is last
    assert (len(provider.calls), len(clock.slept)) == (3, 2)
    assert sum(WAITS) <= sum(clock.slept) <= sum(WAITS) * JITTER
    assert sum(WAITS) * JITTER == pytest.approx(0.84)


def test_the_beginning_is_told_once() -> None:
    """A provider that begins and fails without a token is retried, and ``Began`` isn't repeated."""
    assert ask(Scripted(failing(BUSY, Began()), failing(BUSY, Began()))) == answer_of(0)


@pytest.mark.parametrize("token", TOKENS)
def test_after_the_first_token_nothing_is_retried(clock: Clock, token: Delta) -> None:
    """What a caller may have seen can't be taken back."""
    provider = Scripted(failing(BUSY, Began(), token))
    assert refusal(provider) is BUSY
    assert (len(provider.calls), clock.slept) == (1, [])


@pytest.mark.parametrize("error", [*PASSED_ON[1:], *REFUSED, ValueError("of our own")], ids=lambda e: type(e).__name__)
def test_what_will_not_pass_is_not_retried(clock: Clock, error: Exception) -> None:
    """A refusal, a rate limit or a timeout is the answer at once."""
    provider = Scripted(failing(error))
    assert refusal(provider) is error
    assert (len(provider.calls), clock.slept) == (1, [])


@pytest.mark.parametrize("seconds", [0, 0.1])
def test_no_retry_that_would_pass_the_deadline(clock: Clock, seconds: float) -> None:
    """When the deadline leaves no room for the wait, the provider's own error is the answer."""
    asked = call()._replace(deadline=clock.monotonic() + seconds)
    assert refusal(Scripted(failing(BUSY)), asked=asked) is BUSY
    assert clock.slept == []


def test_the_deadline_may_leave_room_for_one(clock: Clock) -> None:
    """The first retry fits, the second doesn't: the second call's error is the answer."""
    second = ProviderError("second")
    asked = call()._replace(deadline=clock.monotonic() + WAITS[0] * JITTER + 0.1)
    assert refusal(Scripted(failing(BUSY), failing(second)), asked=asked) is second
    assert len(clock.slept) == 1


def test_each_try_is_closed_before_the_next(clock: Clock, monkeypatch: pytest.MonkeyPatch) -> None:
    """While a retry waits, nothing is open at the provider."""
    open_while_waiting: list[int] = []
    provider = Scripted(failing(BUSY), failing(BUSY))
    monkeypatch.setattr(clock, "sleep", lambda _seconds: open_while_waiting.append(provider.open))
    ask(provider)
    assert open_while_waiting == [0, 0]


def test_closing_closes_the_provider(standing: Standing) -> None:
    """Whoever stops reading stops the provider's stream, nothing is tried again, and it is nobody's failure."""
    first, second = Scripted(), Scripted()
    stream: Any = stream_with_failover(candidates(first, second), call(), standing)
    next(stream)
    assert first.open == 1
    stream.close()
    assert (first.open, len(first.calls), second.calls) == (0, 1, [])
    assert standing.failures() == standing.set_aside() == {}


# Fallbacks.


@pytest.mark.parametrize("error", PASSED_ON, ids=lambda error: type(error).__name__)
def test_the_next_model_answers_for_one_that_fails(error: ProviderError) -> None:
    """A model that can't be reached, is limited, unpaid, closed or silent is left for the next, under its own name."""
    first, second, third = Scripted(failing(error), failing(error)), Scripted(), Scripted()
    assert ask(first, second, third) == answer_of(1)
    assert [asked.model for asked in second.calls] == ["m/1"]
    assert third.calls == []


@pytest.mark.parametrize("error", REFUSED, ids=lambda error: type(error).__name__)
def test_a_refused_request_is_no_models_fault(standing: Standing, error: ProviderError) -> None:
    """What is wrong with the request is raised at once: no fallback is asked, and nobody is put aside."""
    first, second = Scripted(failing(error)), Scripted()
    assert refusal(first, second, standing=standing) is error
    assert (len(first.calls), second.calls) == (1, [])
    assert standing.failures() == standing.set_aside() == {}


@pytest.mark.parametrize("token", TOKENS)
def test_after_the_first_token_no_other_model_is_asked(standing: Standing, token: Delta) -> None:
    """The error of a model that broke off is raised; the next call goes to the other one."""
    first, second = Scripted(failing(BUSY, Began(), token)), Scripted()
    assert refusal(first, second, standing=standing) is BUSY
    assert second.calls == []
    assert ask(first, second, standing=standing) == answer_of(1)


def test_a_model_that_began_without_a_token_is_left_too() -> None:
    """Who answers is told again, and what comes then is of the other model alone."""
    limited = failing(ProviderRateLimit("slow down"), Began())
    assert ask(Scripted(limited), Scripted()) == [Began("p0/m/0"), *answer_of(1)]


def test_a_model_with_another_behind_it_is_tried_twice(clock: Clock) -> None:
    """One retry, then the next model; the last one has both retries, and its error is the answer."""
    last = ProviderError("last")
    first, second = Scripted(*[failing(BUSY)] * 3), Scripted(*[failing(last)] * 3)
    assert refusal(first, second) is last
    assert (len(first.calls), len(second.calls), len(clock.slept)) == (2, 3, 3)


def test_an_error_of_our_own_is_no_reason_for_another_model(standing: Standing) -> None:
    """A fault of the gateway is raised as it is."""
    error = ValueError("of our own")
    second = Scripted()
    assert refusal(Scripted(failing(error)), second, standing=standing) is error
    assert second.calls == []


# Who is put aside.


def fail(standing: Standing, times: int = 1, *, error: ProviderError = BUSY) -> None:
    for _ in range(times):
        standing.failed("p0/m/0", error)


def test_a_model_that_failed_is_not_asked_first(standing: Standing, clock: Clock) -> None:
    """For five seconds the others are asked first; then it is its turn again."""
    first, second = Scripted(*[failing(BUSY)] * 2), Scripted()
    ask(first, second, standing=standing)
    assert standing.set_aside()["p0/m/0"].reason == "busy"
    clock.passed += ASIDE - 0.1
    assert ask(first, second, standing=standing) == answer_of(1)
    assert len(first.calls) == 2
    clock.passed += 0.2
    assert standing.set_aside() == {}
    assert ask(first, second, standing=standing) == answer_of(0)


def test_each_further_failure_doubles_the_while(standing: Standing, clock: Clock) -> None:
    """5 s, 10 s, 20 s … up to ten minutes, however often it fails."""
    whiles = []
    for _ in range(1100):
        fail(standing)
        whiles.append(round(standing.set_aside()["p0/m/0"].until - clock.monotonic(), 6))
        clock.passed += whiles[-1] + 0.001
    assert whiles[:9] == [5, 10, 20, 40, 80, 160, 320, 600, 600]
    assert set(whiles[8:]) == {ASIDE_MOST} == {600}
    assert standing.failures() == {"p0/m/0": 1100}


def test_calls_that_fail_together_are_one_failure(standing: Standing, clock: Clock) -> None:
    """A moment's fault that a hundred runs meet does not keep a model aside for ten minutes, nor for longer each."""
    fail(standing, 50)
    clock.passed += ASIDE / 2
    fail(standing, 50)
    assert standing.set_aside()["p0/m/0"].until == pytest.approx(clock.monotonic() + ASIDE / 2)
    assert standing.failures() == {"p0/m/0": 100}


@pytest.mark.parametrize(
    ("retry_after", "seconds"),
    [("30", 30), ("2", ASIDE), ("99999", ASIDE_MOST), ("9" * 400, ASIDE), ("soon", ASIDE), ("-1", ASIDE), ("²", ASIDE)],
)
def test_a_limit_says_how_long(standing: Standing, clock: Clock, retry_after: str, seconds: float) -> None:
    """A model is aside for at least its ``Retry-After`` and at most ten minutes; what isn't a number is ignored."""
    fail(standing, error=ProviderRateLimit("slow down", headers={"Retry-After": retry_after}))
    assert standing.set_aside()["p0/m/0"].until == pytest.approx(clock.monotonic() + seconds)


def test_a_longer_wait_that_is_asked_for_later_counts(standing: Standing, clock: Clock) -> None:
    """A limit that is met by a call that was on its way already lengthens the while."""
    fail(standing)
    fail(standing, error=ProviderRateLimit("slow down", headers={"Retry-After": "60"}))
    assert standing.set_aside()["p0/m/0"].until == pytest.approx(clock.monotonic() + 60)


def test_success_clears_it(standing: Standing, clock: Clock) -> None:
    """After an answer, the next failure is a first one again, though its reader took the last delta and left."""
    for _ in range(4):
        fail(standing)
        clock.passed += ASIDE_MOST
    ask(Scripted(), Scripted(), standing=standing)
    fail(standing)
    assert standing.set_aside()["p0/m/0"].until == pytest.approx(clock.monotonic() + ASIDE)


def test_success_takes_a_model_back_at_once(standing: Standing) -> None:
    """A model that is aside and answers nevertheless, because the others fail, is asked first from then on."""
    fail(standing)
    first, second = Scripted(), Scripted(failing(ProviderTimeout("silent")))
    assert ask(first, second, standing=standing) == answer_of(0)
    assert list(standing.set_aside()) == ["p1/m/1"]
    assert ask(first, second, standing=standing) == answer_of(0)
    assert len(second.calls) == 1


def test_when_all_are_aside_they_are_asked_in_order(standing: Standing) -> None:
    """Having failed lately is no reason to ask nobody."""
    standing.failed("p1/m/1", BUSY)
    standing.failed("p0/m/0", BUSY)
    first, second = Scripted(failing(ProviderTimeout("silent"))), Scripted()
    assert ask(first, second, standing=standing) == answer_of(1)
    assert len(first.calls) == 1


def test_a_model_without_fallbacks_is_always_asked(standing: Standing) -> None:
    """With nobody else to ask, a failure a moment ago changes nothing, retries included."""
    fail(standing)
    provider = Scripted(failing(BUSY), failing(BUSY))
    assert ask(provider, standing=standing) == answer_of(0)
    assert len(provider.calls) == 3


def test_a_retry_that_works_is_no_failure(standing: Standing) -> None:
    """A call counts as failed only when its retries did."""
    ask(Scripted(failing(BUSY)), Scripted(), standing=standing)
    assert standing.failures() == standing.set_aside() == {}


def test_what_is_remembered_is_bounded(standing: Standing) -> None:
    """Whatever names of models fail, only so many are remembered: the latest."""
    for number in range(MOST_RECORDS + 5):
        standing.failed(f"p/{number}", BUSY)
    assert len(standing.failures()) == MOST_RECORDS
    assert f"p/{MOST_RECORDS + 4}" in standing.set_aside()
