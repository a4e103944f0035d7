"""Paths below a folder, walked one name at a time by descriptor: the kernel never follows a link or ``..`` for us."""

from __future__ import annotations

import os
import re
import stat
from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import NamedTuple

from app.agents.tools.tool import ToolFailed

# As many as Linux itself follows.
MAX_LINKS = 40
# Folders; each is a descriptor that is held while the path is walked.
MAX_DEPTH = 64
# Bytes, as in Linux.
MAX_PATH = 4096
# Characters of a path that a message repeats.
MAX_SHOWN = 200

_LOOK = os.O_PATH | os.O_NOFOLLOW | os.O_CLOEXEC
_UNSHOWABLE = re.compile("[\x00-\x08\x0a-\x1f\x7f\ud800-\udfff]")


# Device and inode.
Identity = tuple[int, int]


class PathRefused(ToolFailed):
    """The path does not lead to something that may be used."""


class PathMissing(PathRefused):
    """There is nothing at the path."""


class Found(NamedTuple):
    """Where a path leads, valid while the walk is open.

    folder: descriptor of the folder that it is in, for ``dir_fd`` alone.
    name:   its name there; ``b"."`` when it is a folder, which then is ``folder`` itself.
    status: what it is, never a symbolic link. None when there is nothing of that name.
    """

    folder: int
    name: bytes
    status: os.stat_result | None


def cleaned(text: str) -> str:
    """``text`` as one line of valid Unicode; names of files may be neither."""
    return _UNSHOWABLE.sub("\ufffd", text)


def shown(path: str) -> str:
    """The path as the model wrote it, fit for a message."""
    return cleaned(path if len(path) <= MAX_SHOWN else f"{path[:MAX_SHOWN]}…") or '""'


@contextmanager
def told(path: str) -> Iterator[None]:
    """Errors of the system become PathRefused, with the path as the model wrote it and no other."""
    try:
        yield
    except FileNotFoundError as error:
        raise PathMissing(f"{shown(path)}: there is no such file or folder") from error
    except OSError as error:
        reason = os.strerror(error.errno) if error.errno else "it can't be used"
        raise PathRefused(f"{shown(path)}: {reason}") from error


def identities(paths: Iterable[Path]) -> frozenset[Identity]:
    """What stands at these paths now. By identity, so that no other name of it and no link is a way around."""
    found = set()
    for path in paths:
        with suppress(OSError):
            status = path.stat()
            found.add((status.st_dev, status.st_ino))
    return frozenset(found)


@contextmanager
def walked(root: Path, path: str, *, hidden: Sequence[Path] = (), make_folders: bool = False) -> Iterator[Found]:
    """Follow ``path`` from ``root``, which is made if it is missing.

    path: relative to root, or absolute and then lexically below it; so are the targets of symbolic links.
    hidden: files and folders that are refused, wherever they are met.
    make_folders: missing folders on the way are made. Raises PathRefused, PathMissing, and OSError of the system.
    """
    try:
        name = path.encode()
    except UnicodeEncodeError:
        raise PathRefused(f"{shown(path)}: a path must be valid Unicode") from None
    if b"\0" in name:
        raise PathRefused(f"{shown(path)}: a path can't hold a NUL character")
    if len(name) > MAX_PATH:
        raise PathRefused(f"{shown(path)}: a path has at most {MAX_PATH} bytes")
    walk = _Walk(root, path, identities(hidden))
    try:
        yield walk.follow(name, make_folders)
    finally:
        walk.close()


class _Walk:
    def __init__(self, root: Path, path: str, hidden: frozenset[Identity]) -> None:
        self._root = root
        self._path = path
        self._hidden = hidden
        # Descriptors of the folders from the root to here: ``..`` goes back to where we came from, wherever that
        # folder has been moved meanwhile.
        self._stack = [_open_root(root)]

    def close(self) -> None:
        self._leave(len(self._stack))

    def follow(self, path: bytes, make_folders: bool) -> Found:
        self._check(os.fstat(self._stack[0]))
        ahead = deque(self._names(path))
        links = 0
        while ahead:
            name = ahead.popleft()
            here = self._stack[-1]
            if name in (b"", b"."):
                continue
            if name == b"..":
                if len(self._stack) == 1:
                    raise self._outside()
                self._leave(1)
                continue
            try:
                descriptor = os.open(name, _LOOK, dir_fd=here)
            except FileNotFoundError:
                if not ahead:
                    return Found(here, name, None)
                if not make_folders:
                    raise
                with suppress(FileExistsError):
                    os.mkdir(name, dir_fd=here)
                descriptor = os.open(name, _LOOK, dir_fd=here)
            # Held from here on, so that whatever happens closes it.
            self._stack.append(descriptor)
            status = os.fstat(descriptor)
            self._check(status)
            if stat.S_ISDIR(status.st_mode):
                if len(self._stack) > MAX_DEPTH:
                    raise PathRefused(f"{shown(self._path)}: more than {MAX_DEPTH} folders deep")
                continue
            if stat.S_ISLNK(status.st_mode):
                links += 1
                if links > MAX_LINKS:
                    raise PathRefused(f"{shown(self._path)}: more than {MAX_LINKS} symbolic links to follow")
                # Of the very link that was looked at: an empty name means the descriptor itself.
                target = os.readlink(b"", dir_fd=descriptor)
                self._leave(1)
                ahead.extendleft(reversed(self._names(target)))
                continue
            self._leave(1)
            if ahead:
                raise PathRefused(f"{shown(self._path)}: {shown(os.fsdecode(name))} is not a folder")
            return Found(here, name, status)
        return Found(self._stack[-1], b".", os.fstat(self._stack[-1]))

    def _names(self, path: bytes) -> list[bytes]:
        """What is ahead. An absolute path starts at the root again."""
        names = path.split(b"/")
        if not path.startswith(b"/"):
            return names
        names = [name for name in names if name not in (b"", b".")]
        # Its real path is what ``pwd`` may show. Both are compared as text; what is followed is the root's descriptor.
        for root in {os.path.abspath(self._root), os.path.realpath(self._root)}:
            above = [name for name in os.fsencode(root).split(b"/") if name]
            if names[: len(above)] == above:
                self._leave(len(self._stack) - 1)
                return names[len(above) :]
        raise self._outside()

    def _check(self, status: os.stat_result) -> None:
        if (status.st_dev, status.st_ino) in self._hidden:
            raise PathRefused(f"{shown(self._path)} leads to what belongs to the gateway itself")

    def _leave(self, count: int) -> None:
        for _ in range(count):
            os.close(self._stack.pop())

    def _outside(self) -> PathRefused:
        return PathRefused(f"{shown(self._path)} leads outside of the workspace; use a path relative to the workspace")


def _open_root(root: Path) -> int:
    flags = os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC
    try:
        try:
            return os.open(root, flags)
        except FileNotFoundError:
            root.mkdir(mode=0o700, parents=True, exist_ok=True)
            return os.open(root, flags)
    except OSError as error:
        raise PathRefused(f"the workspace folder can't be opened: {error.strerror}") from error
