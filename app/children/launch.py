"""The start of a child: with pipes of its own, in a session of its own, and with nothing else that the gateway has."""

from __future__ import annotations

import errno
import os
import shutil
import signal
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import NamedTuple


class Started(NamedTuple):
    """pid: also its process group's. output, input: this side's ends of the pipes; no input when nothing is given."""

    pid: int
    output: int
    input: int | None


def start(
    arguments: Sequence[str],
    environment: Mapping[str, str],
    *,
    folder: Path | None,
    has_input: bool,
    keep_open: Sequence[int],
) -> Started:
    """Start a program in a folder. Raises OSError when one of them doesn't exist.

    By posix_spawn, which takes 0.3 ms: gevent's Popen forks in Python, and with 200 MB in the gateway its hub would
    stand still for 10 ms.
    """
    command = _command(arguments, environment, folder)
    output, theirs = os.pipe()
    ends = [output, theirs]
    try:
        source, ours = os.pipe() if has_input else (os.open(os.devnull, os.O_RDONLY), None)
        ends += [source] if ours is None else [source, ours]
        pid = os.posix_spawn(
            command[0],
            command,
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
    return Started(pid, output, ours)


def _inheritable() -> Iterator[int]:
    """What a child would get of this process's files: gunicorn's listening sockets, what its starter left open."""
    for name in os.listdir("/proc/self/fd"):
        descriptor = int(name)
        with suppress(OSError):  # the folder that was listed
            if descriptor > 2 and os.get_inheritable(descriptor):
                yield descriptor


def found(name: str, environment: Mapping[str, str]) -> str:
    """The path of a program. Raises FileNotFoundError."""
    program = shutil.which(name, path=environment.get("PATH", os.defpath))
    if program is None:
        raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT), name)
    return program


def _command(arguments: Sequence[str], environment: Mapping[str, str], folder: Path | None) -> list[str]:
    """The same program by its path, and started in the folder."""
    program = found(arguments[0], environment)
    if folder is None:
        return [program, *arguments[1:]]
    if not folder.is_dir():
        raise NotADirectoryError(errno.ENOTDIR, os.strerror(errno.ENOTDIR), str(folder))
    # posix_spawn knows no folder.
    return ["/bin/sh", "-c", 'cd -- "$0" && exec "$@"', str(folder.absolute()), program, *arguments[1:]]
