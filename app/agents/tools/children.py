"""Child processes of tools: bounded in time and output, and gone with all that they started when ``run`` is over."""

from __future__ import annotations

import errno
import logging
import os
import secrets
import shutil
import signal
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import gevent
from gevent import Greenlet, Timeout
from gevent.event import Event
from gevent.os import make_nonblocking, nb_read, nb_write

log = logging.getLogger("gateway.tools")

# Bytes of one read or write, between which other greenlets have their turn.
BLOCK = 64 * 1024
# Seconds between SIGTERM and SIGKILL.
GRACE = 0.2
# Seconds between two looks at what was asked to end.
PAUSE = 0.005
# Seconds at most that the end may take after SIGKILL: what is stuck in the kernel ends when the kernel lets it.
PATIENCE = 5.0
# The variable by which processes are found that left their process group.
MARK = "OPENCLAW_CHILD"


@dataclass(frozen=True, slots=True)
class Outcome:
    """How a child ended.

    output:    what it printed, standard output and standard error in the order in which they came, up to the bound.
    code:      its exit code, negative for a signal. None when it was ended for its time or its output.
    truncated: it printed more than the bound.
    timed_out: it was ended because its time was over.
    left_out:  bytes that are missing from ``output`` at the position ``gap``.
    """

    output: bytes
    code: int | None
    truncated: bool = False
    timed_out: bool = False
    gap: int = 0
    left_out: int = 0

    def text(self) -> str:
        """The output for a reader, with a line where something was left out. What is not UTF-8 becomes U+FFFD."""
        if not self.left_out:
            return self.output.decode(errors="replace")
        first, last = (part.decode(errors="replace") for part in (self.output[: self.gap], self.output[self.gap :]))
        return f"{first}\n[{self.left_out} bytes left out]\n{last}"


def run(
    arguments: Sequence[str],
    *,
    environment: Mapping[str, str],
    timeout: float,
    max_output: int,
    folder: Path | None = None,
    given: bytes = b"",
    keep_open: Sequence[int] = (),
    max_read: int | None = None,
) -> Outcome:
    """Run a program to its end, or end it when ``timeout`` seconds are over or it printed more than ``max_read`` bytes.

    given: what it may read from standard input. keep_open: file descriptors that it inherits. max_read: ``max_output``
    unless given; when it is more, ``output`` is the first and the last part of what was printed.

    Cooperative: other greenlets go on meanwhile. What the program started ends with it, also when an exception is
    thrown into this greenlet: its process group by SIGTERM and SIGKILL, what left the group by SIGKILL. Out of reach is
    only what left the group and shed its environment too; ``sandbox`` holds that as well.
    Raises OSError when the program can't be started, ValueError for arguments that no program can have.
    """
    mark = secrets.token_hex(16)
    # Before the program starts: the end of one that is quick would go unheard.
    gevent.get_hub().loop.install_sigchld()
    started = _start(_from(folder, arguments, environment), {**environment, MARK: mark}, bool(given), keep_open)
    # Nothing waited since the program was started, so nothing could be thrown in between.
    child = _Child(started, f"{MARK}={mark}".encode(), max_output, max_read or max_output)
    # In a greenlet of its own: an exception thrown into this one must not hit the end half way.
    keeper = gevent.spawn(child.see_through, given, timeout)
    thrown: BaseException | None = None
    while not keeper.ready():
        try:
            keeper.join()
        except BaseException as error:
            child.stop()
            # A Timeout is often handled near by, where a cancellation that came second would be lost behind it.
            if thrown is None or isinstance(thrown, Timeout):
                thrown = error
    if thrown is not None:
        raise thrown
    return keeper.get()


class _Started(NamedTuple):
    """pid: also its process group's. output, input: this side's ends of the pipes; no input when nothing is given."""

    pid: int
    output: int
    input: int | None


def _start(arguments: list[str], environment: Mapping[str, str], has_input: bool, keep_open: Sequence[int]) -> _Started:
    """Start a program given by its path.

    By posix_spawn, which takes 0.3 ms: gevent's Popen forks in Python, and with 200 MB in the gateway its hub would
    stand still for 10 ms.
    """
    output, theirs = os.pipe()
    ends = [output, theirs]
    try:
        source, ours = os.pipe() if has_input else (os.open(os.devnull, os.O_RDONLY), None)
        ends += [source] if ours is None else [source, ours]
        pid = os.posix_spawn(
            arguments[0],
            arguments,
            environment,
            file_actions=[
                *((os.POSIX_SPAWN_CLOSE, descriptor) for descriptor in _inheritable() if descriptor not in keep_open),
                (os.POSIX_SPAWN_DUP2, source, 0),
                (os.POSIX_SPAWN_DUP2, theirs, 1),
                (os.POSIX_SPAWN_DUP2, theirs, 2),
                # A descriptor copied onto itself loses its close-on-exec flag.
                *((os.POSIX_SPAWN_DUP2, descriptor, descriptor) for descriptor in keep_open),
            ],
            setsid=True,
            # What Python ignores; the program shall not.
            setsigdef=[signal.SIGPIPE, signal.SIGXFSZ],
        )
    except BaseException:
        for end in ends:
            os.close(end)
        raise
    os.close(theirs)
    os.close(source)
    return _Started(pid, output, ours)


def _inheritable() -> Iterator[int]:
    """What a child would get of this process's files: gunicorn's listening sockets, what its starter left open."""
    for name in os.listdir("/proc/self/fd"):
        descriptor = int(name)
        with suppress(OSError):  # the folder that was listed
            if descriptor > 2 and os.get_inheritable(descriptor):
                yield descriptor


def _from(folder: Path | None, arguments: Sequence[str], environment: Mapping[str, str]) -> list[str]:
    """The same program by its path, and started in a folder. Raises OSError when one of them doesn't exist."""
    program = shutil.which(arguments[0], path=environment.get("PATH", os.defpath))
    if program is None:
        raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT), arguments[0])
    if folder is None:
        return [program, *arguments[1:]]
    if not folder.is_dir():
        raise NotADirectoryError(errno.ENOTDIR, os.strerror(errno.ENOTDIR), str(folder))
    # posix_spawn knows no folder.
    return ["/bin/sh", "-c", 'cd -- "$0" && exec "$@"', str(folder.absolute()), program, *arguments[1:]]


class _Child:
    def __init__(self, started: _Started, mark: bytes, max_output: int, max_read: int) -> None:
        self._group, self._output, self._input = started
        self._mark = mark
        self._printed = _Printed(max_output, whole=max_read <= max_output)
        self._max_read = max_read
        self._code: int | None = None
        self._exited = Event()
        self._over = Event()
        self._exit = gevent.get_hub().loop.child(started.pid)
        self._exit.start(self._on_exit)

    def stop(self) -> None:
        """End it now. Never waits."""
        self._over.set()

    def see_through(self, given: bytes, timeout: float) -> Outcome:
        """Wait until it is over, and leave nothing of it."""
        make_nonblocking(self._output)
        helpers: list[Greenlet[..., None]] = [gevent.spawn(self._read)]
        if self._input is not None:
            make_nonblocking(self._input)
            helpers.append(gevent.spawn(self._write, self._input, given))
        timed_out = not self._over.wait(timeout)
        code = self._code
        try:
            self._end()
        finally:
            gevent.killall(helpers)
            self._drain()
            self._close_input()
            os.close(self._output)
        printed = self._printed
        return Outcome(
            printed.kept(), code, printed.left_out > 0, timed_out and code is None, printed.gap, printed.left_out
        )

    def _on_exit(self) -> None:
        # In the hub, which collected the process already.
        self._code = os.waitstatus_to_exitcode(self._exit.rstatus)
        self._exit.stop()
        self._exit.close()
        self._exited.set()
        self._over.set()

    def _read(self) -> None:
        while self._printed.total <= self._max_read and (block := nb_read(self._output, BLOCK)):
            self._printed.add(block)
            # A program that prints without end always has more to read.
            gevent.sleep(0)
        if self._printed.total > self._max_read:
            self._over.set()

    def _drain(self) -> None:
        """What it printed last, and nothing that others print who hold its pipe."""
        with suppress(BlockingIOError):
            while self._printed.total <= self._max_read and (block := os.read(self._output, BLOCK)):
                self._printed.add(block)

    def _write(self, descriptor: int, given: bytes) -> None:
        rest = memoryview(given)
        with suppress(BrokenPipeError):  # it need not read what it is given
            while rest:
                rest = rest[nb_write(descriptor, rest[:BLOCK]) :]
        self._close_input()

    def _close_input(self) -> None:
        descriptor, self._input = self._input, None
        if descriptor is not None:
            os.close(descriptor)

    def _end(self) -> None:
        group = self._group
        if _signal(group, signal.SIGTERM):
            _until(lambda: not _signal(group, 0), GRACE)
            _signal(group, signal.SIGKILL)
        # Also for a sandbox, whose inside dies a moment after the process that stands for it outside.
        threads = gevent.get_hub().threadpool
        try:
            with Timeout(PATIENCE):
                self._exited.wait()
                while threads.apply(_kill_marked, (self._mark,)):
                    gevent.sleep(PAUSE)
        except Timeout:
            log.error("a tool's process can't be ended: process %d, or what it started", group)


class _Printed:
    """The first and the last part of what a program prints, and how much there was between them."""

    def __init__(self, bound: int, *, whole: bool) -> None:
        self._last_size = 0 if whole else bound // 2
        self._first_size = bound - self._last_size
        self._first = bytearray()
        self._last = bytearray()
        self.total = 0

    def add(self, block: bytes) -> None:
        room = self._first_size - len(self._first)
        self._first += block[:room]
        self._last += block[room:]
        self.total += len(block)
        if len(self._last) > self._last_size + BLOCK:
            self._trim()

    def kept(self) -> bytes:
        self._trim()
        return bytes(self._first + self._last)

    @property
    def gap(self) -> int:
        return len(self._first)

    @property
    def left_out(self) -> int:
        self._trim()
        return self.total - len(self._first) - len(self._last)

    def _trim(self) -> None:
        del self._last[: max(0, len(self._last) - self._last_size)]


def _signal(group: int, number: int) -> bool:
    """Whether there was somebody in the process group to hear it."""
    try:
        os.killpg(group, number)
    except (ProcessLookupError, PermissionError):  # the latter for what runs as another user
        return False
    return True


def _until(holds: Callable[[], bool], seconds: float) -> None:
    deadline = time.monotonic() + seconds
    while not holds() and time.monotonic() < deadline:
        gevent.sleep(PAUSE)


def _kill_marked(mark: bytes) -> int:
    """SIGKILL each process whose environment has the mark; how many there were. For a thread: /proc may block."""
    found = 0
    for name in os.listdir("/proc"):
        if name.isdigit():
            with suppress(OSError):  # it ended meanwhile, or is another user's
                with open(f"/proc/{name}/environ", "rb") as environment:
                    marked = mark in environment.read()
                if marked:
                    os.kill(int(name), signal.SIGKILL)
                    found += 1
    return found
