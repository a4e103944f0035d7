"""The processes that descend from this one: none of them outlives it.

A module of the bridges of MCP servers, and a program run by path, with the standard library alone, for commands:
``descendants.py PARENT GRACE MEMORY PROCESSES PROGRAM ARGUMENT…`` runs a program and ends as it does, when all that it
started is gone. SIGTERM, and the death of the process PARENT, end it before: its process group by SIGTERM, after GRACE
seconds all by SIGKILL. MEMORY: bytes of each process's addresses, and of what all have in memory together. PROCESSES:
how many there may be. 0 is no bound. Who goes beyond is ended, and the last line of the output says so.
"""

from __future__ import annotations

import ctypes
import os
import sys
import time

# A command waits for these imports: typing and the enumerations of signal take as long as all else together.
TYPE_CHECKING = False
if TYPE_CHECKING:
    import signal
    from types import FrameType
    from typing import Never
else:
    import _signal as signal

PR_SET_PDEATHSIG = 1
PR_SET_CHILD_SUBREAPER = 36
# Seconds for the end of all: what is stuck in the kernel, or runs as another user, stays.
PATIENCE = 5.0
# Seconds between two looks at what is being ended, and at what has bounds.
PAUSE = 0.002
LOOK = 0.1

_TERMINAL = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
_AWAITED = (signal.SIGCHLD, signal.SIGTERM, signal.SIGUSR1)


def adopt() -> None:
    """From now on orphans that descend from this process become its children instead of init's."""
    _prctl(PR_SET_CHILD_SUBREAPER, 1)


def die_with_parent() -> None:
    """Make this process, which leads a process group, the head of a family that ends with its parent.

    A terminal or a service manager signals all processes at once; tools are needed until the gateway has drained.
    """
    for number in _TERMINAL:
        signal.signal(number, signal.SIG_IGN)
    signal.signal(signal.SIGUSR1, end)
    _prctl(PR_SET_PDEATHSIG, signal.SIGUSR1)
    adopt()


def join() -> None:
    """In a child before exec: a plain process again, but one that dies with the head."""
    import resource

    for number in (*_TERMINAL, signal.SIGUSR1):
        signal.signal(number, signal.SIG_DFL)
    _, hard = resource.getrlimit(resource.RLIMIT_DATA)
    resource.setrlimit(resource.RLIMIT_DATA, (hard, hard))
    _prctl(PR_SET_PDEATHSIG, signal.SIGKILL)


def reap(kept: int | None) -> None:
    """Collect orphans that ended, up to the child ``kept``, which somebody else waits for."""
    try:
        while ended := os.waitid(os.P_ALL, 0, os.WEXITED | os.WNOHANG | os.WNOWAIT):
            if ended.si_pid == kept:
                return
            os.waitpid(ended.si_pid, 0)
    except ChildProcessError:
        pass


def end(_signal: int = 0, _frame: FrameType | None = None) -> Never:
    """Kill all descendants, those in sessions of their own too, then this process group and with it this process."""
    kill_descendants()
    os.killpg(0, signal.SIGKILL)
    os._exit(1)


def kill_descendants() -> bool:
    """SIGKILL for all that descend from this process, which adopts orphans. Whether that was the end of all.

    They are stopped first, for what is stopped can't fork; one that lives as long as it is being killed is looked at
    again.
    """
    deadline = time.monotonic() + PATIENCE
    stopped: set[int] = set()
    # While a descendant lives, this process has a child: its own, or one that it adopted.
    while _collected():
        alive = set(descendants())
        fresh = alive - stopped
        for pid in fresh or alive:
            _signal(pid, signal.SIGSTOP if fresh else signal.SIGKILL)
        stopped = alive
        if time.monotonic() > deadline:
            for pid in alive:
                _signal(pid, signal.SIGKILL)
            return False
        if not fresh:
            time.sleep(PAUSE)
    return True


def descendants(of: int | None = None) -> list[int]:
    """The processes that descend from this one, or another."""
    children: dict[int, list[int]] = {}
    for pid, parent in _parents():
        children.setdefault(parent, []).append(pid)
    found: list[int] = []
    fresh = [os.getpid() if of is None else of]
    while fresh:
        fresh = [child for pid in fresh for child in children.get(pid, ())]
        found += fresh
    return found


def children_of(parent: int) -> list[int]:
    """The processes whose parent this is."""
    return [pid for pid, its in _parents() if its == parent]


def parent_of(pid: int) -> int | None:
    """The parent of a process; None when there is no such process."""
    try:
        with open(f"/proc/{pid}/stat", "rb") as stat:
            # The second field is a name in brackets that may hold anything.
            return int(stat.read().rpartition(b")")[2].split()[1])
    except (OSError, ValueError):
        return None


def _parents() -> list[tuple[int, int]]:
    names = filter(str.isdigit, os.listdir("/proc")) if os.path.isdir("/proc/self") else ()
    return [(pid, parent) for pid in map(int, names) if (parent := parent_of(pid)) is not None]


def _collected() -> bool:
    """Collect children that ended. Whether there are others."""
    try:
        while os.waitpid(-1, os.WNOHANG)[0]:
            pass
    except ChildProcessError:
        return False
    return True


def _signal(pid: int, number: int) -> None:
    try:  # noqa: SIM105 - contextlib takes as long to import as Python to start
        os.kill(pid, number)
    except (ProcessLookupError, PermissionError):  # it ended, or runs as another user
        pass


def _prctl(option: int, value: int) -> None:
    if sys.platform == "linux":
        _libc.prctl(option, value, 0, 0, 0)


# Loaded before the fork: a child between fork and exec should load nothing.
_libc = ctypes.CDLL(None)


# The program.


class _Beyond(Exception):
    """A bound was reached; the message says which."""


def main() -> None:
    # Before anything else: what is sent from now on waits until it is asked for.
    signal.pthread_sigmask(signal.SIG_BLOCK, _AWAITED)
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    for number in (signal.SIGINT, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)
    _prctl(PR_SET_PDEATHSIG, signal.SIGUSR1)
    adopt()
    parent, grace, memory, processes = int(sys.argv[1]), float(sys.argv[2]), int(sys.argv[3]), int(sys.argv[4])
    # It may have died before its death was listened for.
    if os.getppid() != parent:
        return
    pid = _started(sys.argv[5:], memory)
    try:
        status = _awaited(pid, memory, processes)
    except _Beyond as error:
        kill_descendants()
        os.write(1, f"\n[ended: {error}]\n".encode())
        status = signal.SIGKILL
    else:
        status = _ended(pid, grace, status)
    code = os.waitstatus_to_exitcode(status)
    if code >= 0:
        os._exit(code)
    _without_core()
    if -code != signal.SIGKILL:
        signal.signal(-code, signal.SIG_DFL)
    signal.pthread_sigmask(signal.SIG_UNBLOCK, [-code])
    os.kill(os.getpid(), -code)
    os._exit(128 - code)


def _started(command: list[str], memory: int) -> int:
    pid = os.fork()
    if pid:
        return pid
    try:
        os.setsid()
        for number in (signal.SIGINT, signal.SIGHUP, signal.SIGPIPE, signal.SIGXFSZ):
            signal.signal(number, signal.SIG_DFL)
        _prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
        if memory:
            import resource

            resource.setrlimit(resource.RLIMIT_AS, (memory, memory))
        signal.pthread_sigmask(signal.SIG_SETMASK, [])
        os.execv(command[0], command)  # noqa: S606 - the command line says which
    except OSError as error:
        os.write(2, f"{command[0]}: {error.strerror}\n".encode())
    finally:
        os._exit(127)


def _awaited(pid: int, memory: int, processes: int) -> int | None:
    """How the program ended by itself; None when it shall be ended. Raises _Beyond."""
    bounded = bool(memory or processes)
    while (status := _status(pid)) is None:
        if bounded:
            _check(memory, processes)
            ready = signal.sigtimedwait(_AWAITED, LOOK)
            number = ready.si_signo if ready else 0
        else:
            number = signal.sigwait(_AWAITED)
        if number == signal.SIGUSR1:
            end()
        if number == signal.SIGTERM:
            return None
    return status


def _ended(pid: int, grace: float, status: int | None) -> int:
    """End what is left of the program, first in peace. How it ended."""
    deadline = time.monotonic() + grace
    try:
        os.killpg(pid, signal.SIGTERM)
        while (left := deadline - time.monotonic()) > 0:
            now = _status(pid)
            status = now if status is None else status
            os.killpg(pid, 0)
            ready = signal.sigtimedwait(_AWAITED, min(left, 0.01))
            if ready and ready.si_signo == signal.SIGUSR1:
                end()
    except (ProcessLookupError, PermissionError):
        pass
    if status is None:
        status = _status(pid)
    if status is None:
        # Before all others, whose end would collect it unseen.
        _signal(pid, signal.SIGKILL)
        status = os.waitpid(pid, 0)[1]
    kill_descendants()
    return status


def _status(pid: int) -> int | None:
    """How the program ended; None while it runs. Others that ended are collected."""
    found = None
    try:
        while (ended := os.waitpid(-1, os.WNOHANG))[0]:
            if ended[0] == pid:
                found = ended[1]
    except ChildProcessError:
        pass
    return found


def _check(memory: int, processes: int) -> None:
    found = descendants()
    if processes and len(found) > processes:
        raise _Beyond(f"it had more than {processes} processes")
    if memory and sum(map(_resident, found)) > memory:
        raise _Beyond(f"its processes took more than {memory >> 20} MB together")


def _resident(pid: int) -> int:
    """Bytes in memory that are a process's own."""
    try:
        with open(f"/proc/{pid}/statm", "rb") as statm:
            _, resident, shared, *_ = map(int, statm.read().split())
    except (OSError, ValueError):
        return 0
    return (resident - shared) * os.sysconf("SC_PAGE_SIZE")


def _without_core() -> None:
    import resource

    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))


if __name__ == "__main__":
    main()
