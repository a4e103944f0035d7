"""What becomes of each key of the file: obeyed, read as another, done stricter, or ignored; never what it says."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple

from app.config.environment import Environment
from app.config.faults import ConfigError, KeyPath, Outcome, Report, What, dotted
from app.config.loading import load_and_report
from app.config.restricting import Treatment, treatment_of

_SAFE = "nothing here that it could narrow"
_OBEYED = Outcome(What.OBEYED)
# Of ``secrets`` only the sources that references name are looked at.
_SECRETS, _PROVIDERS = ("secrets",), ("secrets", "providers")


class Line(NamedTuple):
    """where: a key's path, with file and line where it was included. what: the gravest of what becomes of it.

    said: all of it, in words that hold nothing of the key's value.
    """

    where: str
    what: What
    said: str

    def __str__(self) -> str:
        return f"{self.where}: {self.said}"


def explained(environment: Environment) -> tuple[Line, ...]:
    """A line for each key of the file and of what it includes, in their order.

    Of a section that has no use here it is one line. Raises ConfigError with every fault, as ``load`` does: of a file
    that can't be used nothing is obeyed. See ``refusals``.
    """
    _, report = load_and_report(environment)
    return tuple(_Explaining(report).lines(report.as_written, ()))


def refusals(error: ConfigError) -> tuple[Line, ...]:
    """A line for each fault. Of a key's fault it is what is allowed, without what was found."""
    lines = []
    for fault in error.faults:
        said = f"allowed: {fault.allowed}" if fault.allowed else fault.what
        lines.append(Line(fault.where, What.REFUSED, f"{What.REFUSED.value}: {said}"))
    return tuple(lines)


class _Explaining:
    def __init__(self, report: Report) -> None:
        self._report = report
        # Sections that hold a key of which something is known, or one that moves.
        self._around: Mapping[KeyPath, list[KeyPath]] = _around(report.outcomes)
        self._left = frozenset(_around(report.moves))

    def lines(self, value: Any, path: KeyPath, above: Sequence[Outcome] = ()) -> Iterator[Line]:
        """path: as the file has it. value: what stands there. above: what becomes of what doesn't move from there."""
        today = self._report.today(path)
        whole = today in self._report.outcomes
        if self._has_parts(value, today) and (not whole or path in self._left):
            above = self._outcomes(today) if whole else above
            for key, inner in value.items() if isinstance(value, dict) else enumerate(value):
                yield from self.lines(inner, (*path, key), above)
        elif path:
            outcomes = self._outcomes(today) or [*(above if today == path else ())]
            if today != path:
                outcomes.insert(0, Outcome(What.MOVED, dotted(today)))
            outcomes = outcomes or [_OBEYED]
            gravest = max((outcome.what for outcome in outcomes), key=[*What].index)
            yield Line(self._report.located(path), gravest, "; ".join(map(_said, outcomes)))

    def _has_parts(self, value: Any, today: KeyPath) -> bool:
        """Whether what stands here is told part by part. A list is, where something is known of one of its entries."""
        if isinstance(value, dict):
            return bool(value) or not today
        return isinstance(value, list) and (today in self._around or any(isinstance(item, dict) for item in value))

    def _outcomes(self, today: KeyPath) -> list[Outcome]:
        if today[:1] == _SECRETS and today[:2] != _PROVIDERS:
            return [Outcome(What.IGNORED)]
        # What is written as one value may be read as an object: a model's name as its ``primary``.
        known = [today, *self._around.get(today, ())]
        found = [outcome for path in known for outcome in self._report.outcomes.get(path, ())]
        safe = treatment_of(today) is Treatment.SAFE
        return [Outcome(What.IGNORED, _SAFE) if safe and each == Outcome(What.IGNORED) else each for each in found]


def _around(paths: Iterable[KeyPath]) -> dict[KeyPath, list[KeyPath]]:
    """The paths below each section that one of them is in."""
    around: dict[KeyPath, list[KeyPath]] = {}
    for path in paths:
        for end in range(len(path)):
            around.setdefault(path[:end], []).append(path)
    return around


def _said(outcome: Outcome) -> str:
    what, detail = outcome
    if what is What.NEUTRAL:
        return f"{What.IGNORED.value}: {what.value}"
    if what is What.MOVED:
        return f"{what.value} {detail}"
    return f"{what.value}: {detail}" if detail else what.value
