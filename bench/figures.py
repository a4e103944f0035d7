"""What a measurement says: rows for the README's table, and the limits that hold or don't."""

import platform
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from importlib.metadata import version
from os import sched_getaffinity

import psutil

COLUMNS = ("provider", "bare", "gateway")

Unit = Callable[[float], str]


def milliseconds(seconds: float) -> str:
    return f"{seconds * 1000:.3g} ms" if seconds < 0.1 else f"{seconds * 1000:.0f} ms"


def per_second(rate: float) -> str:
    return f"{rate:,.0f}/s"


def megabytes(size: float) -> str:
    return f"{size / 1e6:.1f} MB"


def kilobytes(size: float) -> str:
    return f"{size / 1e3:.1f} KB"


def share(part: float) -> str:
    return f"{part:.2f}"


def percent(part: float) -> str:
    return f"{part:.1%}"


@dataclass(frozen=True)
class Row:
    what: str
    unit: Unit
    values: Mapping[str, float]

    def cells(self) -> list[str]:
        return [self.what, *(self.unit(self.values[column]) if column in self.values else "–" for column in COLUMNS)]


@dataclass(frozen=True)
class Limit:
    what: str
    unit: Unit
    measured: float
    at_most: float | None = None
    at_least: float | None = None

    @property
    def holds(self) -> bool:
        return (self.at_most is None or self.measured <= self.at_most) and (
            self.at_least is None or self.measured >= self.at_least
        )

    def cells(self) -> list[str]:
        bounds = [("at most", self.at_most), ("at least", self.at_least)]
        allowed = ", ".join(f"{word} {self.unit(bound)}" for word, bound in bounds if bound is not None)
        return [self.what, allowed, self.unit(self.measured), "yes" if self.holds else "**no**"]


@dataclass
class Figures:
    rows: list[Row] = field(default_factory=list)
    limits: list[Limit] = field(default_factory=list)

    def add(self, what: str, unit: Unit, **values: float) -> None:
        self.rows.append(Row(what, unit, values))

    def limit(
        self, what: str, unit: Unit, measured: float, at_most: float | None = None, at_least: float | None = None
    ) -> None:
        self.limits.append(Limit(what, unit, measured, at_most, at_least))

    def markdown(self) -> str:
        measured = table(["", "provider alone", "bare route", "gateway"], [row.cells() for row in self.rows])
        limits = table(["limit", "allowed", "measured", "holds"], [limit.cells() for limit in self.limits])
        return f"Measured on {machine()}.\n\n{measured}\n\n{limits}"


def table(head: list[str], rows: list[list[str]]) -> str:
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join(f"| {' | '.join(cells)} |" for cells in lines)


def machine() -> str:
    cores, memory = len(sched_getaffinity(0)), psutil.virtual_memory().total
    software = f"Python {platform.python_version()}, gunicorn {version('gunicorn')}, gevent {version('gevent')}"
    return f"{cores} cores, {memory / 2**30:.0f} GB, {software}, one worker"
