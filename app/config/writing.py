"""Changes of the file on disk: whole or not at all, checked, and only by whoever has seen what is there now."""

from __future__ import annotations

import fcntl
import hashlib
import os
import stat
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from app.config.environment import Environment
from app.config.loading import check
from app.config.onboarding import make_state_dir
from app.config.settings import Settings, backup_of, draft_of

_LOCK_SECONDS = 10.0
_LOCK_POLL_SECONDS = 0.02
_OWNER_ONLY = stat.S_IRUSR | stat.S_IWUSR


class StaleConfig(Exception):
    """The file is not the one that the change was made from: read it again and repeat the change."""


def hash_of(raw: str | None) -> str:
    """SHA-256 of the file's text, in hex; a file that is absent counts as empty."""
    return _hash((raw or "").encode("utf-8", "surrogatepass"))


def write(environment: Environment, text: str, base_hash: str) -> Settings:
    """Put ``text`` in the file's place; what it says. What was there before is kept beside it, in ``….bak``.

    The file stays its owner's and is readable by nobody else; of a link the target is written. base_hash: ``hash_of``
    the text that the change was made from. Blocks for 10 s at most while another process writes.

    Raises ConfigError for a text that ``load`` would refuse, StaleConfig when the file has changed, TimeoutError and
    other OSErrors when it can't be written. The file is then as it was.
    """
    settings = check(text, environment)
    path = Path(os.path.realpath(environment.config_path))
    make_state_dir(path.parent)
    with _locked(path):
        before, status = _read(path)
        if _hash(before or b"") != base_hash:
            raise StaleConfig(f"{path.name} has changed since it was read: read it again and repeat the change")
        if before is not None:
            _put(backup_of(path), before, path, status)
        _put(path, text.encode("utf-8"), path, status)
    return settings


def _hash(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


@contextmanager
def _locked(path: Path) -> Iterator[None]:
    """One writer at a time. The lock is a file of its own, as the configuration's is another after each change."""
    lock = os.open(path.with_name(f".{path.name}.lock"), os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
    try:
        deadline = time.monotonic() + _LOCK_SECONDS
        while not _lock(lock):
            if time.monotonic() > deadline:
                raise TimeoutError(f"{path.name} is being written by another process")
            time.sleep(_LOCK_POLL_SECONDS)
        yield
    finally:
        os.close(lock)


def _lock(descriptor: int) -> bool:
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def _read(path: Path) -> tuple[bytes | None, os.stat_result | None]:
    try:
        with path.open("rb") as stream:
            return stream.read(), os.fstat(stream.fileno())
    except FileNotFoundError:
        return None, None


def _put(target: Path, content: bytes, path: Path, status: os.stat_result | None) -> None:
    """Write a draft and let it take the place of ``target``. status: of the file whose owner and rights it gets."""
    draft = draft_of(path)
    with suppress(FileNotFoundError):
        draft.unlink()  # of a process that was killed; the lock is ours
    descriptor = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC, _OWNER_ONLY)
    try:
        with os.fdopen(descriptor, "wb") as stream:
            _inherit(descriptor, status)
            stream.write(content)
            stream.flush()
            os.fsync(descriptor)
        os.replace(draft, target)
    except BaseException:
        draft.unlink()
        raise
    folder = os.open(target.parent, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)


def _inherit(descriptor: int, status: os.stat_result | None) -> None:
    os.fchmod(descriptor, _OWNER_ONLY if status is None else status.st_mode & _OWNER_ONLY)
    if status and status.st_uid != os.fstat(descriptor).st_uid:  # the group has no rights, so it may be another
        os.fchown(descriptor, status.st_uid, status.st_gid)
