"""A child from its start to its end, and the end of all that it started."""

from __future__ import annotations

import logging
import os
import secrets
import signal
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path

import gevent
from gevent import Greenlet, Timeout
from gevent.event import Event
from gevent.os import make_nonblocking, nb_read, nb_write

from app.children import orphans
from app.children.bounds import Bounds
from app.children.launch import Started, start
from app.children.printout import BLOCK, Outcome, Printout

log = logging.getLogger("gateway.children")

# Seconds between SIGTERM and SIGKILL.
GRACE = 0.2
# Seconds between two looks at what was asked to end.
PAUSE = 0.005
# Seconds at most that the end may take after SIGKILL: what is stuck in the kernel ends when the kernel lets it.
PATIENCE = 5.0
# The variable by which processes are found that left their process group.
MARK = "OPENCLAW_CHILD"


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
    bounds: Bounds | None = None,
) -> Outcome:
    """Run a program to its end, or end it when ``timeout`` seconds are over or it printed more than ``max_read`` bytes.

    given: what it may read from standard input. keep_open: file descriptors that it inherits. max_read: ``max_output``
    unless given; when it is more, ``output`` is the first and the last part of what was printed.

    Cooperative: other greenlets go on meanwhile. What the program started ends with it, also when an exception is
    thrown into this greenlet: its process group by SIGTERM and SIGKILL, what left the group by SIGKILL. Out of reach is
    only what left the group and shed its environment too; in a ``sandbox`` that ends as well, a moment later, and with
    ``bounds``, which also end it when the gateway is killed, there is no such way out.
    Raises OSError when the program can't be started, ValueError for arguments that no program can have.
    """
    if bounds is not None:
        arguments = bounds.around(arguments, environment, GRACE)
    mark = secrets.token_hex(16)
    # Before the program starts: the end of one that is quick would go unheard.
    gevent.get_hub().loop.install_sigchld()
    environment = {**environment, MARK: mark}
    started = start(arguments, environment, folder=folder, has_input=bool(given), keep_open=keep_open)
    # Nothing waited since the program was started, so nothing could be thrown in between.
    child = _Child(started, f"{MARK}={mark}".encode(), max_output, max_read or max_output, headed=bounds is not None)
    orphans.known.add(started.pid)
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


class _Child:
    def __init__(self, started: Started, mark: bytes, max_output: int, max_read: int, *, headed: bool) -> None:
        self._group, self._output, self._input = started
        self._mark = mark
        self._headed = headed
        self._printed = Printout(max_output, whole=max_read <= max_output)
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
        orphans.known.discard(self._group)
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
        if self._headed:
            self._end_headed()
        else:
            self._end_marked()

    def _end_headed(self) -> None:
        """Let the head of the family end it, or, should the family have killed its head, do it from here."""
        if not self._exited.is_set():
            _signal(self._group, signal.SIGTERM)
            # It can be stopped by those that it is to end.
            _signal(self._group, signal.SIGCONT)
            if not self._exited.wait(GRACE + PATIENCE):
                _signal(self._group, signal.SIGKILL)
                self._exited.wait(PATIENCE)
        if self._code != 0 and not orphans.end():
            log.error("a command can't be ended: what it started")

    def _end_marked(self) -> None:
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
            log.error("a child process can't be ended: process %d, or what it started", group)


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
