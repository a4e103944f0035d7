"""The files that a load reads beside the main one: regular ones, of bounded size, each noted as it was found."""

from __future__ import annotations

import errno
import os
import stat
from pathlib import Path

# Times of its content and of its rights, size, inode; None where there is none that can be looked at.
FileState = tuple[int, int, int, int] | None


class Unreadable(Exception):
    """A file can't be used. The message goes on after its name: "can't be read: Permission denied"."""


class FilesRead:
    """What one load looked at, missing files included. states: each file as it was before it was read."""

    def __init__(self) -> None:
        self.states: dict[Path, FileState] = {}

    def note(self, path: Path) -> None:
        """Take down how a file is now. The first look counts: what is read later may be newer, never older."""
        if path not in self.states:
            self.states[path] = state_of(path)

    def read(self, path: Path, limit: int) -> bytes:
        """A file's content. Raises Unreadable, also for more than ``limit`` bytes and for what is no regular file."""
        self.note(path)
        try:
            # A pipe is opened without waiting for somebody who writes, only to find out that it is one.
            descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
            try:
                _check_regular(os.fstat(descriptor).st_mode)
                with os.fdopen(descriptor, "rb", closefd=False) as stream:
                    content = stream.read(limit + 1)
            finally:
                os.close(descriptor)
        except OSError as error:
            raise Unreadable(f"can't be read: {error.strerror}") from error
        except ValueError:  # a NUL in the path
            raise Unreadable("has a name that no file can have") from None
        if len(content) > limit:
            raise Unreadable(f"is larger than {limit // 1024} KiB")
        return content

    def read_text(self, path: Path, limit: int) -> str:
        """The same as text, without a byte order mark. Raises Unreadable, also for what is no UTF-8."""
        try:
            return self.read(path, limit).decode("utf-8-sig")
        except UnicodeDecodeError as error:
            raise Unreadable(f"is not UTF-8 text at byte {error.start}") from None


def state_of(path: Path) -> FileState:
    """How to tell whether a file has changed; of a link its target's."""
    try:
        status = os.stat(path)
    except (OSError, ValueError):
        return None
    return status.st_mtime_ns, status.st_ctime_ns, status.st_size, status.st_ino


def is_missing(error: Unreadable) -> bool:
    """Whether there is no such file, rather than one that can't be used."""
    return isinstance(error.__cause__, FileNotFoundError | NotADirectoryError)


def _check_regular(mode: int) -> None:
    if stat.S_ISDIR(mode):
        raise Unreadable(f"can't be read: {os.strerror(errno.EISDIR)}")
    if not stat.S_ISREG(mode):
        raise Unreadable("is not a regular file")
