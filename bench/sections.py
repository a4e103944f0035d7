"""The measurements. Every round asks all servers in turn, so that the machine's other work hits them alike."""

import time
from collections import defaultdict
from collections.abc import Callable
from dataclasses import dataclass
from operator import sub, truediv
from pathlib import Path
from statistics import median

from bench.figures import Figures, kilobytes, megabytes, milliseconds, per_second, percent, share
from bench.large import CASES
from bench.processes import Target, gateway_alone, stack
from bench.stalls import stalls

CALLERS = (1, 8, 32)
STREAMS = 500
FEW_CALLS = 100
READERS = 500
CLIENTS = (1, 32)
SOCKETS = "bench.sockets"

PARTS = 10
# Seconds in which a worker gives back what a part has left.
GIVE_BACK = 5.0

# What two measurements of the same thing may differ by.
LATENCY_NOISE = 1.15
MEMORY_NOISE = 1.05


@dataclass(frozen=True)
class Plan:
    """How often, and for how long: many short rounds of calls, since a shared machine's speed wanders."""

    call_rounds: int = 7
    call_seconds: float = 1.0
    stream_rounds: int = 3
    stream_seconds: float = 5.0
    worker_rounds: int = 3
    many_calls: int = 10_000
    connections: int = 2_000
    idle_seconds: float = 20.0
    soak_calls: int = 100_000
    soak_streams: int = 5_000
    soak_sockets: int = 2_000


def warm(target: Target, calls: int = FEW_CALLS) -> None:
    target.measure("calls", "m", callers=4, total=calls)


def calls(plan: Plan, folder: Path, figures: Figures) -> None:
    rounds: dict[tuple[str, int], list[dict[str, float]]] = defaultdict(list)
    with stack(folder) as targets:
        for target in targets:
            warm(target)
        for _ in range(plan.call_rounds):
            for callers in CALLERS:
                for target in targets:
                    measured = target.measure("calls", "m", callers=callers, seconds=plan.call_seconds)
                    rounds[target.name, callers].append(measured)

    def each(name: str, callers: int, key: str) -> list[float]:
        return [measured[key] for measured in rounds[name, callers]]

    names = [target.name for target in targets]
    for key in ("p50", "p99"):
        figures.add(f"one caller, {key}", milliseconds, **{name: median(each(name, 1, key)) for name in names})
        added = {name: median(map(sub, each(name, 1, key), each("provider", 1, key))) for name in names[1:]}
        figures.add(f"added to the provider's, {key}", milliseconds, **added)
        if key == "p50":
            figures.limit("added latency, one caller, p50", milliseconds, added["gateway"], at_most=0.0015)
    for callers in CALLERS:
        rates = {name: median(each(name, callers, "rate")) for name in names}
        figures.add(f"requests, {callers} at once" if callers > 1 else "requests, one at a time", per_second, **rates)
        ratio = median(map(truediv, each("gateway", callers, "rate"), each("bare", callers, "rate")))
        figures.add("… of the bare route's", share, bare=1.0, gateway=ratio)
    figures.limit(f"requests/s, {CALLERS[-1]} at once, of the bare route's", share, ratio, at_least=0.65)


def streams(plan: Plan, folder: Path, figures: Figures) -> None:
    rounds: dict[str, list[dict[str, float]]] = defaultdict(list)
    with stack(folder) as targets:
        for target in targets:
            warm(target)
        for _ in range(plan.stream_rounds):
            for target in targets:
                measured = target.measure("streams", "paced", count=STREAMS, seconds=plan.stream_seconds)
                rounds[target.name].append(measured)
                time.sleep(0.5)  # the end of five hundred streams is work too
    for key, unit in (("p50", milliseconds), ("p99", milliseconds), ("arrived", share)):
        values = {name: median(measured[key] for measured in of_one) for name, of_one in rounds.items()}
        what = f"lateness, {key}" if key != "arrived" else "share of tokens that came"
        figures.add(f"{STREAMS} streams of 50 tokens/s: {what}", unit, **values)
    ratio = median(one["p99"] / other["p99"] for one, other in zip(rounds["gateway"], rounds["bare"], strict=True))
    figures.limit(f"{STREAMS} streams, lateness p99, of the bare route's", share, ratio, at_most=1.5)


def memory(plan: Plan, folder: Path, figures: Figures) -> None:
    idle: dict[str, list[float]] = defaultdict(list)
    each: dict[str, list[float]] = defaultdict(list)
    for _ in range(plan.worker_rounds):
        with stack(folder) as (_, *targets):
            for target in targets:
                warm(target)
                before = target.memory()
                idle[target.name].append(before)
                each[target.name].append((target.memory_with(STREAMS) - before) / STREAMS)
    figures.add("memory of an idle worker", megabytes, **{name: median(sizes) for name, sizes in idle.items()})
    figures.add("memory of an open stream", kilobytes, **{name: median(sizes) for name, sizes in each.items()})
    figures.limit("memory of an idle worker", megabytes, median(idle["gateway"]), at_most=90e6)


def flat(plan: Plan, folder: Path, figures: Figures) -> None:
    latency: dict[int, list[float]] = defaultdict(list)
    size: dict[int, list[float]] = defaultdict(list)
    for _ in range(plan.worker_rounds):
        with stack(folder) as (_, _, gateway):
            done = 0
            for total in (FEW_CALLS, plan.many_calls):
                gateway.measure("calls", "m", callers=32, total=total - done)
                size[total].append(gateway.memory())
                latency[total].append(gateway.measure("calls", "m", callers=1, total=300)["p50"])
                done = total + 300
    for total, measured in latency.items():
        figures.add(f"p50 after {total:,} calls", milliseconds, gateway=median(measured))
    for total, measured in size.items():
        figures.add(f"memory of a worker after {total:,} calls", megabytes, gateway=median(measured))
    for what, of_one, noise in (("p50", latency, LATENCY_NOISE), ("memory", size, MEMORY_NOISE)):
        few, many = of_one.values()
        growth = median(after / before for before, after in zip(few, many, strict=True))
        figures.limit(
            f"{what} after {plan.many_calls:,} calls, of that after {FEW_CALLS}", share, growth, at_most=noise
        )


def soak(plan: Plan, folder: Path, figures: Figures) -> None:
    """Everything that comes and goes, in ten parts: what the first leaves behind may not grow."""
    sizes = []
    with gateway_alone(folder) as gateway:
        warm(gateway)
        for _ in range(PARTS):
            gateway.measure("calls", "m", callers=32, total=plan.soak_calls // PARTS)
            gateway.measure("streams", "paced", count=plan.soak_streams // PARTS, seconds=1.0)
            with gateway.holding("idle", "m", SOCKETS, count=plan.soak_sockets // PARTS):
                pass
            time.sleep(GIVE_BACK)
            sizes.append(gateway.memory())
    what = f"{plan.soak_calls:,} calls, {plan.soak_streams:,} streams and {plan.soak_sockets:,} WebSockets"
    figures.add(f"memory of a worker after a tenth of {what}", megabytes, gateway=sizes[0])
    figures.add(f"memory of a worker after {what}", megabytes, gateway=sizes[-1])
    figures.limit(f"memory after {what}, of that after a tenth", share, max(sizes[1:]) / sizes[0], at_most=1.05)


def connections(plan: Plan, folder: Path, figures: Figures) -> None:
    each, busy = [], []
    for _ in range(plan.worker_rounds):
        with gateway_alone(folder) as gateway:
            warm(gateway)
            before = gateway.memory()
            with gateway.holding("idle", "m", SOCKETS, count=plan.connections):
                busy.append(gateway.busy(plan.idle_seconds))
                each.append((gateway.memory() - before) / plan.connections)
    what = f"of {plan.connections:,} idle connections"
    figures.add(f"memory of each {what}", kilobytes, gateway=median(each))
    figures.add(f"CPU of the worker, of one core, {what}", percent, gateway=median(busy))
    figures.limit(f"memory of each {what}", kilobytes, median(each), at_most=80e3)


def events(plan: Plan, folder: Path, figures: Figures) -> None:
    with gateway_alone(folder) as gateway:
        warm(gateway)
        rounds = [
            gateway.measure("events", "paced", SOCKETS, count=READERS, seconds=plan.stream_seconds)
            for _ in range(plan.stream_rounds)
        ]

    def middle(key: str) -> float:
        return median(measured[key] for measured in rounds)

    what = f"a run's 50 tokens/s to {READERS} connections"
    for event, suffix in (("agent", ""), ("chat", "_chat")):
        for key, unit in (("p50", milliseconds), ("p99", milliseconds), ("arrived", share)):
            which = f"lateness, {key}" if key != "arrived" else "share of tokens that came"
            figures.add(f"{what}, event {event}: {which}", unit, gateway=middle(key + suffix))
    figures.add(f"{what}: CPU of the readers, of one core", percent, gateway=middle("busy"))
    figures.limit(f"{what}, lateness p99", milliseconds, middle("p99"), at_most=0.1)


def health(plan: Plan, folder: Path, figures: Figures) -> None:
    rounds: dict[int, list[dict[str, float]]] = defaultdict(list)
    with gateway_alone(folder) as gateway:
        warm(gateway)
        for _ in range(plan.call_rounds):
            for count in CLIENTS:
                measured = gateway.measure("health", "m", SOCKETS, count=count, seconds=plan.call_seconds)
                rounds[count].append(measured)
    for count, of_one in rounds.items():
        where = f"on {count} connections" if count > 1 else "on one connection"
        figures.add(f"health {where}", per_second, gateway=median(measured["rate"] for measured in of_one))
        figures.add(f"health {where}, p99", milliseconds, gateway=median(measured["p99"] for measured in of_one))


def stand_still(plan: Plan, folder: Path, figures: Figures) -> None:
    stalls(plan.worker_rounds, folder, figures)


def large(plan: Plan, folder: Path, figures: Figures) -> None:
    rounds: dict[str, list[dict[str, float]]] = defaultdict(list)
    for _ in range(plan.worker_rounds):
        with gateway_alone(folder) as gateway:
            warm(gateway)
            for case in CASES:
                rounds[case].append(gateway.measure(case, "m", "bench.large"))
    for case, of_one in rounds.items():
        longest = median(measured["longest"] for measured in of_one)
        usual = median(measured["usual"] for measured in of_one)
        figures.add(f"longest wait for health before: {case}", milliseconds, gateway=usual)
        figures.limit(f"longest wait for health: {case}", milliseconds, longest, at_most=0.05)


SECTIONS: dict[str, Callable[[Plan, Path, Figures], None]] = {
    "calls": calls,
    "streams": streams,
    "memory": memory,
    "flat": flat,
    "soak": soak,
    "connections": connections,
    "events": events,
    "health": health,
    "stalls": stand_still,
    "large": large,
}
