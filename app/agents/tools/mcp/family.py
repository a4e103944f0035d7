"""The processes that descend from a bridge: none of them outlives it."""

from __future__ import annotations

import ctypes
import os
import resource
import signal
import sys
import time
from contextlib import suppress
from types import FrameType
from typing import Never

PR_SET_PDEATHSIG = 1
PR_SET_CHILD_SUBREAPER = 36
# Looks for processes that were forked while others were being killed.
ROUNDS = 20

_TERMINAL = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


def found() -> None:
    """Make this process, which leads a process group, the head of a family that ends with its parent.

    A terminal or a service manager signals all processes at once; tools are needed until the gateway has drained.
    """
    for number in _TERMINAL:
        signal.signal(number, signal.SIG_IGN)
    signal.signal(signal.SIGUSR1, end)
    _prctl(PR_SET_PDEATHSIG, signal.SIGUSR1)
    # What a server leaves behind when it ends comes back here instead of to init.
    _prctl(PR_SET_CHILD_SUBREAPER, 1)


def join() -> None:
    """In a child before exec: a plain process again, but one that dies with the head."""
    for number in (*_TERMINAL, signal.SIGUSR1):
        signal.signal(number, signal.SIG_DFL)
    _, hard = resource.getrlimit(resource.RLIMIT_DATA)
    resource.setrlimit(resource.RLIMIT_DATA, (hard, hard))
    _prctl(PR_SET_PDEATHSIG, signal.SIGKILL)


def reap(kept: int | None) -> None:
    """Collect orphans that ended, up to the child ``kept``, which somebody else waits for."""
    with suppress(ChildProcessError):
        while ended := os.waitid(os.P_ALL, 0, os.WEXITED | os.WNOHANG | os.WNOWAIT):
            if ended.si_pid == kept:
                return
            os.waitpid(ended.si_pid, 0)


def end(_signal: int = 0, _frame: FrameType | None = None) -> Never:
    """Kill all descendants, those in sessions of their own too, then this process group and with it this process."""
    for _ in range(ROUNDS):
        descendants = _descendants()
        if not descendants:
            break
        for pid in descendants:
            with suppress(ProcessLookupError, PermissionError):
                os.kill(pid, signal.SIGKILL)
        with suppress(ChildProcessError):
            while os.waitpid(-1, os.WNOHANG)[0]:
                pass
        time.sleep(0.005)
    os.killpg(0, signal.SIGKILL)
    os._exit(1)


def _descendants() -> list[int]:
    children: dict[int, list[int]] = {}
    for name in filter(str.isdigit, os.listdir("/proc")) if os.path.isdir("/proc/self") else ():
        with suppress(OSError):
            with open(f"/proc/{name}/stat", "rb") as stat:
                # The second field is a name in brackets that may hold anything.
                parent = int(stat.read().rpartition(b")")[2].split()[1])
            children.setdefault(parent, []).append(int(name))
    found: list[int] = []
    fresh = [os.getpid()]
    while fresh:
        fresh = [child for pid in fresh for child in children.get(pid, ())]
        found += fresh
    return found


def _prctl(option: int, value: int) -> None:
    if sys.platform == "linux":
        _libc.prctl(option, value, 0, 0, 0)


# Loaded before the fork: a child between fork and exec should load nothing.
_libc = ctypes.CDLL(None)
