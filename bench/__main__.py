"""python -m bench: measures, prints, and ends everything that it started."""

import argparse
import signal
import sys
import tempfile
import time
from pathlib import Path
from typing import Any, NoReturn

import psutil

from bench.figures import Figures
from bench.processes import Broken
from bench.sections import SECTIONS, Plan

QUICK = Plan(
    call_rounds=3,
    call_seconds=0.4,
    stream_rounds=1,
    stream_seconds=2.0,
    worker_rounds=1,
    many_calls=2_000,
    connections=500,
    idle_seconds=2.0,
    soak_calls=5_000,
    soak_streams=500,
    soak_sockets=200,
)
NOISY = 10.0


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m bench", description=__doc__)
    parser.add_argument("--quick", action="store_true", help="one short round: about a minute, and rough")
    parser.add_argument("--only", choices=SECTIONS, action="append", help="one section; may be repeated")
    parser.add_argument("--check", action="store_true", help="exit with 1 if a limit does not hold")
    options = parser.parse_args()
    for ending in (signal.SIGINT, signal.SIGTERM):
        signal.signal(ending, leave)

    if (busy := psutil.cpu_percent(interval=0.5)) > NOISY:
        print(
            f"the machine is {busy:.0f} % busy with other work: figures for a README need a quiet one", file=sys.stderr
        )

    figures = Figures()
    with tempfile.TemporaryDirectory(prefix="bench-") as name:
        folder = Path(name)
        try:
            for section in options.only or SECTIONS:
                started = time.monotonic()
                SECTIONS[section](QUICK if options.quick else Plan(), folder, figures)
                print(f"{section}: {time.monotonic() - started:.0f} s", file=sys.stderr)
        except Broken as fault:
            print(f"{fault}\n\n{ends_of_logs(folder)}", file=sys.stderr)
            return 2
    print(figures.markdown())
    return int(options.check and not all(limit.holds for limit in figures.limits))


def leave(number: int, frame: Any) -> NoReturn:
    # A second one would interrupt the ending of the processes.
    for ending in (signal.SIGINT, signal.SIGTERM):
        signal.signal(ending, signal.SIG_IGN)
    raise SystemExit(128 + number)


def ends_of_logs(folder: Path) -> str:
    logs = sorted(folder.glob("*.log"))
    return "\n".join(f"--- {log.name}\n{log.read_text()[-3000:]}" for log in logs)


if __name__ == "__main__":
    sys.exit(main())
