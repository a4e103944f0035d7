"""A call that fails before its first token: tried again after a moment, then the next model is asked."""

from __future__ import annotations

import logging
import random
import time
from collections.abc import Generator, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from app.errors import ProviderError, ProviderRefused
from app.providers.retry_after import seconds_until
from app.providers.stream import Began, Completed, Delta, ModelCall, Provider

log = logging.getLogger("gateway.providers")

# Seconds before the second and the third try of the last model; with the jitter 0.84 s in all, so that a streaming
# caller, whose headers wait for a second, still gets a plain HTTP error. A model with another behind it is tried twice.
WAITS = (0.2, 0.5)
JITTER = 1.2

# Seconds that a model is put aside after its first failure, twice as long after each further one, and at most.
ASIDE = 5.0
ASIDE_MOST = 600.0
# Models that failed and are remembered; a caller may choose any model of a provider that lists none.
MOST_RECORDS = 1000


class Candidate(NamedTuple):
    """reference: ``provider/model``."""

    reference: str
    provider: Provider


class SetAside(NamedTuple):
    """until: ``time.monotonic()``."""

    until: float
    reason: str


@dataclass(slots=True)
class _Record:
    failures: int = 0
    in_a_row: int = 0
    aside: SetAside | None = None


class Standing:
    """How the models have done lately: which of them are put aside, and for how long."""

    def __init__(self) -> None:
        self._records: dict[str, _Record] = {}

    def in_order(self, candidates: Sequence[Candidate]) -> Sequence[Candidate]:
        """Those that are put aside come last."""
        if len(candidates) == 1:
            return candidates
        now = time.monotonic()
        return sorted(candidates, key=lambda candidate: self._is_aside(candidate.reference, now))

    def failed(self, reference: str, error: ProviderError) -> None:
        now = time.monotonic()
        record = self._records.get(reference)
        if record is None:
            if len(self._records) >= MOST_RECORDS:
                del self._records[next(iter(self._records))]
            record = self._records[reference] = _Record()
        record.failures += 1
        if record.aside is not None and record.aside.until > now:
            # Calls that were on their way together fail together: that is one failure.
            until = record.aside.until
        else:
            record.in_a_row += 1
            until = now + min(ASIDE * 2 ** min(record.in_a_row - 1, 10), ASIDE_MOST)
        asked = seconds_until(error.headers.get("Retry-After", ""))
        if asked is not None:
            until = max(until, now + min(asked, ASIDE_MOST))
        record.aside = SetAside(until, error.message)

    def answered(self, reference: str) -> None:
        record = self._records.get(reference)
        if record is not None:
            record.in_a_row = 0
            record.aside = None

    def set_aside(self) -> Mapping[str, SetAside]:
        """Models that failed lately and are asked only when the others fail, by reference."""
        now = time.monotonic()
        return {ref: record.aside for ref, record in self._records.items() if record.aside and record.aside.until > now}

    def failures(self) -> Mapping[str, int]:
        """Failed calls since the start, by reference."""
        return {reference: record.failures for reference, record in self._records.items()}

    def _is_aside(self, reference: str, now: float) -> bool:
        record = self._records.get(reference)
        return record is not None and record.aside is not None and record.aside.until > now


def stream_with_failover(candidates: Sequence[Candidate], call: ModelCall, standing: Standing) -> Iterator[Delta]:
    """Deltas of the first candidate that answers. Never another one after the first token.

    ``Began`` names who answers. A refused request is refused by all, so it is raised at once. When the deadline leaves
    no room for a retry, the provider's own error is raised.
    """
    *others, last = standing.in_order(candidates)
    for candidate in others:
        failed = yield from _stream(candidate, call, WAITS[:1], standing)
        if failed is None:
            return
        log.warning("model %s failed, the next one is asked: %s", candidate.reference, failed)
    failed = yield from _stream(last, call, WAITS, standing)
    if failed is not None:
        raise failed


def _stream(
    candidate: Candidate, call: ModelCall, waits: Sequence[float], standing: Standing
) -> Generator[Delta, None, ProviderError | None]:
    """One model's answer; its error comes back when it failed before its first token, and others may be asked."""
    reference = candidate.reference
    # Not by _replace, which takes four times as long.
    call = ModelCall(reference.partition("/")[2], *call[1:])
    if usual := call.defaults.get(reference):
        call = call._replace(sampling={**usual, **call.sampling})
    began = False
    for wait in (*waits, None):
        deltas = candidate.provider.stream(call)
        token = False
        try:
            for delta in deltas:
                kind = type(delta)
                if kind is Began:
                    if not began:
                        began = True
                        yield Began(reference)
                    continue
                if kind is Completed:
                    # Before it is out: whoever has the last delta reads no further.
                    standing.answered(reference)
                token = True
                yield delta
            return None
        except ProviderRefused:
            raise
        except ProviderError as error:
            pause = _pause(wait, call.deadline) if error.retryable and not token else None
            if pause is None:
                standing.failed(reference, error)
                if token:
                    raise
                return error
            log.info("trying again in %.1f s: %s", pause, error)
        finally:
            # A generator that is merely dropped closes its connection only when it is collected.
            deltas.close()  # type: ignore[attr-defined]
        time.sleep(pause)
    raise AssertionError("the last try returns or raises")


def _pause(wait: float | None, deadline: float) -> float | None:
    """Seconds until the next try, None when there is none."""
    if wait is None:
        return None
    pause = wait * random.uniform(1.0, JITTER)  # noqa: S311 - spreads load, guards nothing
    return pause if time.monotonic() + pause < deadline else None
