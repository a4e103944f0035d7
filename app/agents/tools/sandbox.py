"""The sandbox of commands: bubblewrap, where this machine has it and lets it work."""

from __future__ import annotations

import os
import shutil
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import gevent

from app import children
from app.children import Outcome
from app.config.environment import environment_of_commands

TRIAL_TIMEOUT = 10.0
TRIAL_OUTPUT = 32 * 1024
# Characters of a trial's first line that the operator reads.
MAX_WHY = 300
# Seconds after which a machine without a working bubblewrap is looked at again: one trial may have failed by chance.
RETRY = 60.0

INSTALL = "install it (Debian: apt install bubblewrap)"
ALLOW = (
    "let this user make user namespaces (sysctl kernel.unprivileged_userns_clone=1, on Ubuntu "
    "kernel.apparmor_restrict_unprivileged_userns=0; in a container a security profile that permits them)"
)

# Bytes of what is written to memory. Nothing is meant to be written where files are hidden.
TMP_SIZE = 1024 * 1024 * 1024
SHARED_SIZE = 64 * 1024 * 1024
HIDDEN_SIZE = 1024 * 1024

# Kernel settings, which root may change even without capabilities: a fresh /proc shows them writable.
_KERNEL = ("/proc/sys", "/proc/sysrq-trigger")
# What the sandbox has of its own, and the machine's devices.
_SYSTEM = (Path("/proc"), Path("/dev"), Path("/sys"))
# Sockets of services that would start a program outside for whoever asks.
_WAYS_OUT = ("/run/user", "/run/dbus", "/run/systemd/private", "/run/docker.sock", "/run/containerd", "/run/podman")


class NoSandbox(NamedTuple):
    """Why commands run with all rights of the gateway's user, and what the operator can do about it."""

    reason: str
    remedy: str


class SandboxRefused(Exception):
    """A workspace that can't be let in without what must stay out."""


@dataclass(frozen=True, slots=True)
class Sandbox:
    """program: bubblewrap's path. sized: it can bound what is written to memory."""

    program: str
    sized: bool = False

    def command(
        self,
        arguments: Sequence[str],
        *,
        workspace: Path,
        folder: Path,
        hidden: Sequence[Path] = (),
        network: bool = True,
    ) -> list[str]:
        """The command line that runs ``arguments`` in the sandbox, with its start in ``folder``.

        All files can be read, only the workspace and a /tmp of the command's own be written. hidden: files that are
        empty inside, and folders that are empty but for the workspace, should it lie there; what doesn't exist is
        left out. Processes of outside can't be seen. network: the machine's; without it there is not even the
        machine's own loopback. When the sandbox is ended, all inside it is killed at once, without SIGTERM. Asks the
        disk, so call it in a thread.
        Raises SandboxRefused when the workspace itself is to be hidden, or holds folders of the system.
        """
        workspace = workspace.resolve()
        if any(path.is_relative_to(workspace) or workspace.is_relative_to(path) for path in _SYSTEM):
            raise SandboxRefused("the workspace holds, or lies in, a folder of the system")
        # Outer folders first: what is mounted over them must not disappear beneath them.
        mounts = [(path, self._empty(path)) for path in _existing([*_WAYS_OUT, *hidden])]
        if any(path == workspace for path, _ in mounts):
            raise SandboxRefused("the workspace is the folder of the gateway's own files")
        shut = [path for path, _ in mounts if path.is_relative_to(workspace)]
        mounts += [(path, _bound(path)) for path in (workspace, *_between(workspace, shut))]
        mounts.sort(key=lambda mount: len(mount[0].parts))
        options = [option for _, mount in mounts for option in mount]
        alone = () if network else ("--unshare-net",)
        return [*self.frame(), *alone, *options, "--chdir", str(folder.resolve()), "--", *arguments]

    def frame(self) -> list[str]:
        """The part of the command line that is the same for every command."""
        kernel = [option for path in _existing(_KERNEL) for option in ("--ro-bind", str(path), str(path))]
        return [
            self.program,
            *("--unshare-pid", "--unshare-ipc", "--unshare-uts", "--new-session", "--die-with-parent"),
            # A gateway of root's would else leave the right to undo all this.
            *("--cap-drop", "ALL"),
            *("--ro-bind", "/", "/", "--proc", "/proc", *kernel),
            # A folder in memory, too, and the only one that can't be bounded.
            *("--dev", "/dev", *self._memory("/dev/shm", SHARED_SIZE), "--remount-ro", "/dev"),  # noqa: S108
            *self._memory("/tmp", TMP_SIZE),  # noqa: S108
        ]

    def _empty(self, path: Path) -> list[str]:
        return self._memory(str(path), HIDDEN_SIZE) if path.is_dir() else ["--ro-bind", "/dev/null", str(path)]

    def _memory(self, folder: str, size: int) -> list[str]:
        """An empty folder of the sandbox's own, for so many bytes."""
        return [*(("--size", str(size)) if self.sized else ()), "--tmpfs", folder]


class Search:
    """Finds out whether bubblewrap works here. path: folders in which it is looked for, separated by colons."""

    def __init__(self, path: str | None = None) -> None:
        self._path = path
        self._found: Sandbox | NoSandbox | None = None
        self._next = 0.0

    def __call__(self) -> Sandbox | NoSandbox:
        """The sandbox, or why there is none. Waits for a trial when it was not known."""
        if not isinstance(self._found, Sandbox) and time.monotonic() >= self._next:
            self._found = self._try()
            self._next = time.monotonic() + RETRY
        assert self._found is not None
        return self._found

    def _try(self) -> Sandbox | NoSandbox:
        environment = environment_of_commands()
        path = self._path or environment["PATH"]
        program = gevent.get_hub().threadpool.apply(lambda: shutil.which("bwrap", path=path))
        if program is None:
            return NoSandbox("bubblewrap (bwrap) is not installed", INSTALL)

        def tried(*arguments: str) -> Outcome:
            return children.run(arguments, environment=environment, timeout=TRIAL_TIMEOUT, max_output=TRIAL_OUTPUT)

        try:
            box = Sandbox(program, sized="--size" in tried(program, "--help").text())
            outcome = tried(*box.frame(), "--", "/bin/sh", "-c", ":")
        except OSError as error:
            return NoSandbox(f"bubblewrap can't be started: {error.strerror}", INSTALL)
        if outcome.code == 0:
            return box
        said = outcome.text().strip().splitlines()
        why = said[0] if said else f"no end after {TRIAL_TIMEOUT:g} s" if outcome.timed_out else f"code {outcome.code}"
        return NoSandbox(f"bubblewrap does not work here ({why[:MAX_WHY]})", ALLOW)


def _bound(path: Path) -> list[str]:
    return ["--bind", str(path), str(path)]


def _between(workspace: Path, shut: Sequence[Path]) -> set[Path]:
    """The folders from the workspace to what is hidden in it: what is mounted can't be moved.

    Or a command would call its folder otherwise, and the next one would find it open.
    """
    above = {folder for path in shut for folder in path.parents if folder.is_relative_to(workspace)}
    return {folder for folder in above - {workspace} if not any(folder.is_relative_to(path) for path in shut)}


def look(path: str | None = None) -> NoSandbox | None:
    """Why bubblewrap doesn't work here, for a process that has no hub and forks others. Waits for it."""
    environment = environment_of_commands()
    program = shutil.which("bwrap", path=path or environment["PATH"])
    if program is None:
        return NoSandbox("bubblewrap (bwrap) is not installed", INSTALL)
    words, theirs = os.pipe()
    with open(words, "rb") as said:
        try:
            command = [*Sandbox(program).frame(), "--", "/bin/sh", "-c", ":"]
            ends = [(os.POSIX_SPAWN_DUP2, theirs, descriptor) for descriptor in (1, 2)]
            pid = os.posix_spawn(program, command, environment, file_actions=ends)
        except OSError as error:
            return NoSandbox(f"bubblewrap can't be started: {error.strerror}", INSTALL)
        finally:
            os.close(theirs)
        first = said.readline(MAX_WHY).decode(errors="replace").strip()
    if os.waitpid(pid, 0)[1] == 0:
        return None
    return NoSandbox(f"bubblewrap does not work here ({first})", ALLOW)


def _existing(paths: Sequence[Path | str]) -> Iterator[Path]:
    """Each path once, with its symbolic links followed."""
    for path in {Path(path).resolve(): None for path in paths}:
        if path.exists():
            yield path


find = Search()
