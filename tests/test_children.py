from __future__ import annotations

import os
import secrets
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import gevent
import psutil
import pytest

from app import children
from app.children import MARK, Bounds, Outcome, child
from tests.agents.scene import until
from tests.open_files import open_files

ENVIRONMENT = {"PATH": os.environ["PATH"]}
LIMITS: dict[str, Any] = {"environment": ENVIRONMENT, "timeout": 20, "max_output": 10_000}

# Ways to outlive the program that was started. @ is the mark by which a test finds what is left.
STAYING = {
    "in the background, with the pipe": "sleep @ &",
    "ignoring SIGTERM": "(trap '' TERM; sleep @; sleep @) & trap '' TERM",
    "in a session of its own": "setsid sh -c 'trap \"\" TERM; sleep @; sleep @' >/dev/null 2>&1 &",
    "forked many times": "for i in 1 2 3 4 5 6 7 8; do (sleep @ & sleep @ & setsid sleep @ & wait) & done",
    "forking on": "forker() { while :; do sleep @ & sleep 0.01; done; }; forker & setsid sh -c 'sleep @ & sleep @' &",
    "printing without end": "yes @ &",
}
# Python that takes 60 MB for a while.
TAKING = 'import time; x = b"x" * (60 << 20); time.sleep(9)'


def shell(script: str, **changes: Any) -> Outcome:
    return children.run(["/bin/sh", "-c", script], **LIMITS | changes)


def new_mark() -> str:
    """A number of seconds that no other process sleeps."""
    return f"9{secrets.randbelow(10**9):09d}"


def alive(mark: str) -> list[str]:
    """The commands of processes with this mark in their arguments; a zombie is gone."""
    found = []
    for process in psutil.process_iter():
        try:
            command = " ".join(process.cmdline())
            if mark in command and process.status() != psutil.STATUS_ZOMBIE:
                found.append(command)
        except psutil.Error:
            continue
    return found


def test_output_and_code() -> None:
    """What it prints comes back in order, with its exit code."""
    outcome = shell("echo one; echo two >&2; echo three; exit 3")
    assert outcome == Outcome(b"one\ntwo\nthree\n", 3, gap=14)
    assert outcome.text() == "one\ntwo\nthree\n"


def test_a_signal_is_a_negative_code() -> None:
    """Who is killed by a signal has its number, negative."""
    assert shell("kill -KILL $$").code == -signal.SIGKILL


def test_it_reads_what_is_given() -> None:
    """Standard input is what is given, then its end; without anything it has an end at once."""
    given = os.urandom(300_000)
    assert children.run(["cat"], **LIMITS | {"given": given, "max_output": 300_000}).output == given
    assert shell("cat; echo end").output == b"end\n"


@pytest.mark.parametrize("script", ["true", "exec <&-; echo x", "head -c 3 >/dev/null"])
def test_input_may_stay_unread(script: str) -> None:
    """A program that doesn't read its input holds up nobody."""
    assert shell(script, given=bytes(2_000_000)).code == 0


def test_folder(tmp_path: Path) -> None:
    """It starts in the folder, whatever its name."""
    folder = tmp_path / "-a b'c\"$d"
    folder.mkdir()
    assert children.run(["pwd"], **LIMITS, folder=folder).text() == f"{folder}\n"


def test_it_sees_the_given_environment_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing of the gateway's environment is passed on by itself."""
    monkeypatch.setenv("SECRET_KEY", "must-not-show")
    lines = children.run(["env"], **LIMITS | {"environment": {**ENVIRONMENT, "A": "b"}}).text().splitlines()
    assert {line.partition("=")[0] for line in lines} == {"PATH", "A", MARK}


def test_it_inherits_named_descriptors_alone() -> None:
    """Files that the gateway has open stay its own, except those to keep open."""
    with open(os.devnull) as kept, open(os.devnull) as inheritable:
        # As gunicorn does with the sockets that it listens on.
        os.set_inheritable(inheritable.fileno(), True)
        os.set_inheritable(kept.fileno(), True)
        outcome = children.run(["ls", "/proc/self/fd"], **LIMITS, keep_open=[kept.fileno()])
        # One more is the folder that ls reads.
        assert len(set(outcome.text().split()) - {"0", "1", "2", str(kept.fileno())}) == 1


@pytest.mark.parametrize(
    ("arguments", "changes", "error"),
    [
        (["no-such-program"], {}, FileNotFoundError),
        (["/"], {}, OSError),
        (["true"], {"folder": Path("/no/such/folder")}, NotADirectoryError),
        (["true", "\0"], {"given": b"x"}, ValueError),
    ],
)
def test_what_can_not_be_started(arguments: list[str], changes: dict[str, Any], error: type[Exception]) -> None:
    """It raises, and leaves no file open."""
    shell("true")
    before = open_files()
    with pytest.raises(error):
        children.run(arguments, **LIMITS | changes)
    assert open_files() <= before


def test_long_output_keeps_its_ends() -> None:
    """Of a long output the first and the last part stay, and how much is missing is told."""
    printed = "".join(f"{number}\n" for number in range(1, 200_001))
    outcome = shell("seq 1 200000", max_output=1000, max_read=10_000_000)
    assert (outcome.code, outcome.truncated, outcome.left_out) == (0, True, len(printed) - 1000)
    assert outcome.output.decode() == printed[:500] + printed[-500:]
    assert outcome.text() == f"{printed[:500]}\n[{len(printed) - 1000} bytes left out]\n{printed[-500:]}"


def test_output_of_exactly_the_bound_is_whole() -> None:
    """Only more than the bound is cut."""
    outcome = shell("printf 12345", max_output=5, max_read=100)
    assert (outcome.output, outcome.truncated, outcome.left_out) == (b"12345", False, 0)


def test_more_than_may_be_read_ends_it() -> None:
    """Unless more may be read than kept, the program ends at the bound, and the beginning is what comes back."""
    outcome = shell("yes 1234567")
    assert (outcome.output, outcome.code, outcome.truncated) == (b"1234567\n" * 1250, None, True)
    assert not outcome.timed_out


def test_endless_output_leaves_the_hub_free() -> None:
    """While a program prints as fast as it can, other greenlets have their turns."""
    turns = []

    def tick() -> None:
        while True:
            gevent.sleep(0)
            turns.append(1)

    ticker = gevent.spawn(tick)
    outcome = shell("yes", max_read=4_000_000)
    ticker.kill()
    assert outcome.code is None
    assert outcome.left_out > 3_900_000
    assert len(turns) > 4_000_000 / children.BLOCK


def test_a_silent_program_ends_in_time() -> None:
    """When the time is over it ends, with what it printed until then."""
    mark = new_mark()
    outcome = shell(f"echo begun; sleep {mark}; echo never", timeout=0.3)
    assert outcome == Outcome(b"begun\n", None, timed_out=True, gap=6)
    assert alive(mark) == []


@pytest.mark.parametrize("bounds", [None, Bounds()], ids=["alone", "headed"])
def test_it_is_asked_before_it_is_killed(monkeypatch: pytest.MonkeyPatch, bounds: Bounds | None) -> None:
    """SIGTERM comes first, and what a program says then is still heard; it may be as slow as the machine."""
    monkeypatch.setattr(child, "GRACE", 60.0)
    # The time is for the shell to start and to say what it does at SIGTERM.
    outcome = shell("trap 'echo bye; exit' TERM; while :; do sleep 0.01; done", timeout=3, bounds=bounds)
    assert outcome.output.endswith(b"bye\n")


@pytest.mark.parametrize("way", STAYING)
@pytest.mark.parametrize("end", ["by itself", "for its time", "cancelled"])
def test_nothing_is_left(tmp_path: Path, way: str, end: str) -> None:
    """Whatever was started and however it ends: when ``run`` is over none of its processes live."""
    mark = new_mark()
    script = f"{STAYING[way].replace('@', mark)}\n: > ready\n{'sleep 0.05' if end == 'by itself' else f'sleep {mark}'}"

    def work() -> Outcome:
        return shell(script, folder=tmp_path, timeout=0.3 if end == "for its time" else 20, max_read=10**9)

    greenlet = gevent.spawn(work)
    until(lambda: (tmp_path / "ready").exists())
    if end == "cancelled":
        until(lambda: alive(mark))
        greenlet.kill()
        assert isinstance(greenlet.value, gevent.GreenletExit)
    else:
        outcome = greenlet.get(timeout=20)
        assert outcome.timed_out == (end == "for its time")
    assert alive(mark) == []


@pytest.mark.parametrize("script", ["exit 3", "kill -KILL $$", "kill -TERM $$", "kill -INT $$", "kill -USR1 $$"])
def test_a_head_ends_as_its_program_does(script: str) -> None:
    """With bounds there is a process between, which passes on output, exit code and signal."""
    assert shell(f"echo x; {script}", bounds=Bounds()) == shell(f"echo x; {script}")


@pytest.mark.parametrize(
    ("script", "bounds", "told"),
    [
        ("for i in 1 2 3 4 5 6; do sleep 9 & done; wait", Bounds(processes=5), "it had more than 5 processes"),
        (
            f"for i in 1 2 3; do {sys.executable} -S -c '{TAKING}' & done; wait",
            Bounds(memory=150 << 20),
            "its processes took more than 150 MB together",
        ),
    ],
)
def test_what_takes_too_much_is_ended(script: str, bounds: Bounds, told: str) -> None:
    """With all that it started, and the last line of its output says which bound it was."""
    outcome = shell(script, bounds=bounds)
    assert outcome.code == -signal.SIGKILL
    assert outcome.text().endswith(f"[ended: {told}]\n")


def test_one_process_can_not_have_more_memory_than_all() -> None:
    """It gets no more from the system, at once, and can say so."""
    script = "import sys\ntry: bytes(200 << 20)\nexcept MemoryError: sys.exit(7)"
    outcome = children.run([sys.executable, "-c", script], **LIMITS, bounds=Bounds(memory=150 << 20))
    assert outcome.code == 7


def test_the_exception_thrown_in_comes_out(tmp_path: Path) -> None:
    """The caller has its own exception back."""
    with pytest.raises(gevent.Timeout) as caught, gevent.Timeout(0.2) as patience:
        shell("sleep 60")
    assert caught.value is patience


def test_a_cancellation_is_not_lost_behind_a_timeout(tmp_path: Path) -> None:
    """Who is killed while a Timeout has begun to end the program is killed, and nothing is left even so."""
    mark = new_mark()
    patience = gevent.Timeout(20)
    told: list[BaseException] = []

    def work() -> None:
        try:
            shell(f"trap '' TERM; : > ready; sleep {mark}; sleep {mark}", folder=tmp_path)
        except BaseException as error:
            told.append(error)

    greenlet = gevent.spawn(work)
    until(lambda: (tmp_path / "ready").exists())
    hub = gevent.get_hub()
    hub.loop.run_callback(greenlet.throw, patience)
    gevent.sleep(children.GRACE / 4)
    assert not told
    greenlet.kill()
    assert [type(error) for error in told] == [gevent.GreenletExit]
    assert alive(mark) == []


def test_many_runs_leave_no_file_and_no_zombie(tmp_path: Path) -> None:
    """After fifty runs, good, failed, too long and cancelled, files and children are no more than before."""
    shell("true")
    process = psutil.Process()
    files, processes = open_files(), len(process.children())

    def cancelled(script: str, given: bytes) -> None:
        greenlet = gevent.spawn(shell, script, given=given)
        gevent.sleep(0.01)
        greenlet.kill()

    ways: list[Callable[[], object]] = [
        lambda: shell("echo x"),
        lambda: shell("yes", given=bytes(200_000)),
        lambda: shell("sleep 60", timeout=0.01),
        lambda: cancelled("sleep 60", b""),
        lambda: cancelled("sleep 60", bytes(200_000)),
    ]
    for _ in range(10):
        gevent.joinall([gevent.spawn(way) for way in ways], raise_error=True)
    assert open_files() <= files
    assert len(process.children()) <= processes


PATCHED = """
from gevent import monkey
monkey.patch_all()
import gevent, os, psutil
from app import children
limits = dict(environment={"PATH": os.environ["PATH"]}, timeout=20, max_output=100)
codes = [children.run(["true"], **limits).code]
gevent.sleep(0.01)  # gevent puts off what closes
process = psutil.Process()
before = process.num_fds()
for _ in range(5):
    codes.append(children.run(["cat"], **limits, given=b"x").code)
    greenlet = gevent.spawn(children.run, ["sleep", "60"], **limits, given=bytes(200_000))
    gevent.sleep(0.01)
    greenlet.kill()
gevent.sleep(0.01)
print(codes, process.num_fds() - before, len(process.children()))
"""


def test_in_a_process_like_the_gateways() -> None:
    """With everything patched by gevent, and from the very first program on, it is the same."""
    done = subprocess.run([sys.executable, "-c", PATCHED], capture_output=True, text=True, timeout=60)
    assert (done.stdout, done.stderr) == ("[0, 0, 0, 0, 0, 0] 0 0\n", "")
