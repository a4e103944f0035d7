"""The folder of an agent. Nothing outside of it is read or changed, whatever others do to links at the same time."""

from __future__ import annotations

import os
import secrets
import stat
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import NamedTuple

from app.agents.tools.workspace_walk import PathMissing, PathRefused, cleaned, shown, told, walked

# Of one folder; those beyond are not even looked at.
MAX_ENTRIES = 10_000

# Not blocking, so that a FIFO that takes the place of a file holds nobody up.
_READ = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_NOCTTY | os.O_CLOEXEC
_CREATE = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
_SECOND = 1_000_000_000


class FileContent(NamedTuple):
    """data: the beginning of a file. size: bytes of the whole file, more than ``data`` has if that was cut."""

    data: bytes
    size: int


class Listing(NamedTuple):
    """names: sorted; folders end in ``/``, symbolic links in ``@``. more: how many of those read are left out.

    complete: all names were read; otherwise just as many as may be, and the folder has others before and after them.
    """

    names: list[str]
    more: int
    complete: bool


@dataclass(frozen=True, slots=True)
class Workspace:
    """Access to the files below ``root``, which is made, for its owner alone, when it is first used.

    hidden: files and folders that are refused where they lie inside, such as the gateway's own.

    A path is relative to root, or absolute and below it. Symbolic links are followed as far as they stay inside;
    files with several names (hard links) and what is neither file nor folder are refused. All methods raise
    PathRefused, whose message is for the model, and block on the disk: in a greenlet call them through ``aside``.
    """

    root: Path
    hidden: tuple[Path, ...] = ()

    @contextmanager
    def opened(self, path: str) -> Iterator[int]:
        """A descriptor for reading the file or folder at ``path``. Raises PathMissing when nothing is there."""
        with told(path), walked(self.root, path, hidden=self.hidden) as found:
            if found.status is None:
                raise PathMissing(f"{shown(path)}: there is no such file or folder")
            # Before it is opened, as that alone does something to a device; and after, as it may be another by then.
            _check(path, found.status)
            descriptor = os.open(found.name, _READ, dir_fd=found.folder)
        try:
            _check(path, os.fstat(descriptor))
            yield descriptor
        finally:
            os.close(descriptor)

    def read(self, path: str, limit: int) -> FileContent | None:
        """The first ``limit`` bytes of a file, None when nothing is at ``path``."""
        try:
            with told(path), self.opened(path) as descriptor:
                status = os.fstat(descriptor)
                if stat.S_ISDIR(status.st_mode):
                    raise PathRefused(f"{shown(path)} is a folder; ls shows what is in it")
                with open(descriptor, "rb", closefd=False) as stream:
                    return FileContent(stream.read(limit), status.st_size)
        except PathMissing:
            return None

    def write(self, path: str, data: bytes) -> bool:
        """Put ``data`` in a file, in place of what it had; missing folders are made. Returns whether the file is new.

        Readers see the old content or the new, never a part. The mode of an old file is kept.
        """
        with told(path), walked(self.root, path, hidden=self.hidden, make_folders=True) as found:
            old = found.status
            if old is not None:
                if stat.S_ISDIR(old.st_mode):
                    raise PathRefused(f"{shown(path)} is a folder; name a file")
                _check(path, old)
            temporary = b".write-" + secrets.token_hex(8).encode()
            descriptor = os.open(temporary, _CREATE, 0o644 if old is None else 0o600, dir_fd=found.folder)
            try:
                with open(descriptor, "wb") as stream:
                    stream.write(data)
                    stream.flush()
                    if old is not None:
                        os.fchmod(descriptor, old.st_mode & 0o777)
                        # Python takes byte code for current while the source has the size and the whole second that
                        # it had: a file changed and run again within a second would be run as it was before.
                        due = old.st_mtime_ns + _SECOND
                        if os.fstat(descriptor).st_mtime_ns < due:
                            os.utime(descriptor, ns=(due, due))
                os.replace(temporary, found.name, src_dir_fd=found.folder, dst_dir_fd=found.folder)
            except BaseException:
                with suppress(FileNotFoundError):
                    os.unlink(temporary, dir_fd=found.folder)
                raise
            return old is None

    def listing(self, path: str, limit: int) -> Listing:
        """The first ``limit`` names in a folder."""
        with told(path), self.opened(path) as descriptor:
            if not stat.S_ISDIR(os.fstat(descriptor).st_mode):
                raise PathRefused(f"{shown(path)} is a file, not a folder; read shows it")
            with os.scandir(descriptor) as entries:
                names = sorted(cleaned(entry.name) + _mark(entry) for entry in islice(entries, MAX_ENTRIES))
                complete = next(entries, None) is None
            return Listing(names[:limit], max(0, len(names) - limit), complete)


def _check(path: str, status: os.stat_result) -> None:
    if stat.S_ISDIR(status.st_mode):
        return
    if not stat.S_ISREG(status.st_mode):
        raise PathRefused(f"{shown(path)} is neither a file nor a folder (a pipe, a socket or a device)")
    if status.st_nlink > 1:
        raise PathRefused(
            f"{shown(path)} is a hard link: {status.st_nlink} names share one file, and another may be outside of the "
            "workspace, so it is neither read nor changed; make a copy with a name of its own"
        )


def _mark(entry: os.DirEntry[str]) -> str:
    if entry.is_symlink():
        return "@"
    return "/" if entry.is_dir(follow_symlinks=False) else ""
