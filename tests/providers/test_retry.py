"""Retries: how many, when, and when not.

The waits are ``time.sleep``, which gunicorn's worker has patched and this process has not: here they are recorded.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from typing import Any

import pytest

from app.errors import ProviderAuthError, ProviderError, ProviderRateLimit, ProviderRefused, ProviderTimeout
from app.providers import retry
from app.providers.faults import ProviderFault
from app.providers.retry import JITTER, WAITS, stream_with_retries
from app.providers.stream import Began, Completed, Delta, ModelCall, ReasoningDelta, TextDelta, Usage
from tests.providers.scene import call

DONE = Completed("stop", Usage(1, 1))


class Waits:
    """Takes the place of the module's clock: no time passes but what is slept."""

    def __init__(self) -> None:
        self.slept: list[float] = []
        self._began = time.monotonic()

    def sleep(self, seconds: float) -> None:
        self.slept.append(seconds)

    def monotonic(self) -> float:
        return self._began + sum(self.slept)


@pytest.fixture
def waits(monkeypatch: pytest.MonkeyPatch) -> Waits:
    waits = Waits()
    monkeypatch.setattr(retry, "time", waits)
    return waits


class Scripted:
    """A provider that plays one list for each call: deltas, and an error that ends it."""

    def __init__(self, *plays: list[Delta | Exception]) -> None:
        self.plays = list(plays)
        self.calls: list[ModelCall] = []
        self.open = 0

    def stream(self, asked: ModelCall) -> Iterator[Delta]:
        self.calls.append(asked)
        self.open += 1
        try:
            for step in self.plays.pop(0):
                if isinstance(step, Exception):
                    raise step
                yield step
        finally:
            self.open -= 1


def failing(error: Exception, *before: Delta) -> list[Delta | Exception]:
    return [*before, error]


BUSY = ProviderError("busy")


def test_a_call_that_works_is_made_once(waits: Waits) -> None:
    """Without a fault there is no second call and no wait."""
    provider = Scripted([Began(), TextDelta("a"), DONE])
    assert list(stream_with_retries(provider, call())) == [Began(), TextDelta("a"), DONE]
    assert (len(provider.calls), waits.slept) == (1, [])


@pytest.mark.parametrize("faults", [1, 2])
def test_a_fault_that_passes_is_not_seen(waits: Waits, faults: int) -> None:
    """Up to two faults before the first token are waited out, with the same call."""
    asked = call()
    provider = Scripted(*[failing(BUSY)] * faults, [Began(), TextDelta("a"), DONE])
    assert list(stream_with_retries(provider, asked)) == [Began(), TextDelta("a"), DONE]
    assert provider.calls == [asked] * (faults + 1)


def test_the_third_fault_is_the_answer(waits: Waits) -> None:
    """There are two retries at most, and their waits stay under a second and a half in all."""
    last = ProviderError("still busy")
    provider = Scripted(failing(BUSY), failing(BUSY), failing(last))
    with pytest.raises(ProviderError) as refused:
        list(stream_with_retries(provider, call()))
    assert refused.value is last
    assert len(provider.calls) == 3
    assert len(waits.slept) == 2
    assert sum(waits.slept) <= sum(WAITS) * JITTER < 1.5


def test_the_beginning_is_told_once(waits: Waits) -> None:
    """A provider that begins and fails without a token is retried, and ``Began`` isn't repeated."""
    provider = Scripted(failing(BUSY, Began()), failing(BUSY, Began()), [Began(), TextDelta("a"), DONE])
    assert list(stream_with_retries(provider, call())) == [Began(), TextDelta("a"), DONE]


@pytest.mark.parametrize("token", [TextDelta("a"), ReasoningDelta("hm")])
def test_after_the_first_token_nothing_is_retried(waits: Waits, token: Delta) -> None:
    """What a caller may have seen can't be taken back."""
    provider = Scripted(failing(BUSY, Began(), token))
    with pytest.raises(ProviderError):
        list(stream_with_retries(provider, call()))
    assert (len(provider.calls), waits.slept) == (1, [])


@pytest.mark.parametrize(
    "error",
    [
        ProviderRefused("bad"),
        ProviderAuthError("key"),
        ProviderRateLimit("slow down"),
        ProviderTimeout("silent"),
        ProviderFault("teapot"),
        ValueError("a fault of our own"),
    ],
    ids=lambda error: type(error).__name__,
)
def test_what_will_not_pass_is_not_retried(waits: Waits, error: Exception) -> None:
    """A refusal, a rate limit or a timeout is the answer at once."""
    provider = Scripted(failing(error))
    with pytest.raises(type(error)) as refused:
        list(stream_with_retries(provider, call()))
    assert refused.value is error
    assert (len(provider.calls), waits.slept) == (1, [])


@pytest.mark.parametrize("seconds", [0, 0.1])
def test_no_retry_that_would_pass_the_deadline(waits: Waits, seconds: float) -> None:
    """When the deadline leaves no room for the wait, the provider's own error is the answer."""
    provider = Scripted(failing(BUSY))
    asked = call()._replace(deadline=waits.monotonic() + seconds)
    with pytest.raises(ProviderError) as refused:
        list(stream_with_retries(provider, asked))
    assert refused.value is BUSY
    assert waits.slept == []


def test_the_deadline_may_leave_room_for_one(waits: Waits) -> None:
    """The first retry fits, the second doesn't: the second call's error is the answer."""
    second = ProviderError("second")
    provider = Scripted(failing(BUSY), failing(second))
    asked = call()._replace(deadline=waits.monotonic() + WAITS[0] * JITTER + 0.1)
    with pytest.raises(ProviderError) as refused:
        list(stream_with_retries(provider, asked))
    assert refused.value is second
    assert len(waits.slept) == 1


def test_each_try_is_closed_before_the_next(waits: Waits, monkeypatch: pytest.MonkeyPatch) -> None:
    """While a retry waits, nothing is open at the provider."""
    open_while_waiting: list[int] = []
    provider = Scripted(failing(BUSY), failing(BUSY), [Began(), DONE])
    monkeypatch.setattr(waits, "sleep", lambda _seconds: open_while_waiting.append(provider.open))
    list(stream_with_retries(provider, call()))
    assert open_while_waiting == [0, 0]


def test_closing_closes_the_provider(waits: Waits) -> None:
    """Whoever stops reading stops the provider's stream, and nothing is tried again."""
    provider = Scripted([Began(), TextDelta("a"), DONE])
    stream: Any = stream_with_retries(provider, call())
    next(stream)
    assert provider.open == 1
    stream.close()
    assert (provider.open, len(provider.calls)) == (0, 1)
