"""python -m bench.compare TREE: what a request costs here and in another checkout of the project, side by side.

Both serve at the same time and are asked in turn, a few calls each, so that whatever else the machine does hits both
alike. Measured is the worker's time on a processor (Linux counts it in nanoseconds), so the waits of a busy machine
are no part of it. A single pair of processes differs by a hundredth or two for no reason: run it several times.
"""

import argparse
import http.client
import json
import sys
import tempfile
from pathlib import Path
from statistics import mean, median, stdev

from bench.processes import ROOT, Target, gateway, provider

WARM = 200
# Calls in turn, and how often.
CALLS, ROUNDS = 20, 400
STREAM_CALLS, STREAM_ROUNDS = 5, 60


class Caller:
    """One connection to one gateway."""

    def __init__(self, target: Target, *, stream: bool) -> None:
        self._connection = http.client.HTTPConnection("127.0.0.1", target.port)
        self._headers = {"Content-Type": "application/json", "Authorization": f"Bearer {target.token}"}
        body = {"model": target.models["m"], "messages": [{"role": "user", "content": "hi"}], "stream": stream}
        self._body = json.dumps(body)
        self._clock = Path(f"/proc/{target.worker().pid}/schedstat")

    def cost(self, calls: int) -> float:
        """Microseconds of the worker for each call."""
        before = self._spent()
        for _ in range(calls):
            self._connection.request("POST", "/v1/chat/completions", self._body, self._headers)
            answer = self._connection.getresponse()
            if answer.status != 200:
                raise SystemExit(f"{answer.status}: {answer.read()!r}")
            answer.read()
        return (self._spent() - before) / calls / 1000

    def _spent(self) -> int:
        return int(self._clock.read_text().split()[0])


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m bench.compare", description=__doc__)
    parser.add_argument("tree", type=Path, help="another checkout, such as one made by `git worktree add`")
    parser.add_argument("--stream", action="store_true", help="streamed answers instead of whole ones")
    options = parser.parse_args()
    calls, rounds = (STREAM_CALLS, STREAM_ROUNDS) if options.stream else (CALLS, ROUNDS)
    with tempfile.TemporaryDirectory(prefix="bench-") as name:
        folder = Path(name)
        with (
            provider(folder) as behind,
            gateway(folder / "there", behind, options.tree.resolve()) as there,
            gateway(folder / "here", behind, ROOT) as here,
        ):
            pair = [Caller(target, stream=options.stream) for target in (there, here)]
            for caller in pair:
                caller.cost(WARM)
            measured = []
            for number in range(rounds):
                order = (0, 1) if number % 2 else (1, 0)
                costs = {place: pair[place].cost(calls) for place in order}
                measured.append((costs[0], costs[1]))
    ratios = [new / old for old, new in measured]
    # Of a median, where the values are spread as usual.
    error = 1.25 * stdev(ratios) / len(ratios) ** 0.5
    old, new = (median(each) for each in zip(*measured, strict=True))
    print(f"there {old:.0f} us, here {new:.0f} us a call; here/there {median(ratios):.3f} ± {error:.3f}", end="")
    print(f" (mean {mean(ratios):.3f})")
    return 0


if __name__ == "__main__":
    sys.exit(main())
