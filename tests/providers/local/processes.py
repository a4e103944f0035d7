"""What the tests see of the processes behind a local model."""

from __future__ import annotations

import time
from collections.abc import Callable

import psutil

from app.providers.local import keeper


def wait_until(holds: Callable[[], object], seconds: float = 10) -> None:
    deadline = time.monotonic() + seconds
    while not holds():
        assert time.monotonic() < deadline, "it did not happen in time"
        time.sleep(0.01)


def keepers(of: int | None = None) -> list[psutil.Process]:
    """Keepers that this process, or the one with the given id, started itself."""
    return [child for child in psutil.Process(of).children() if keeper.__file__ in command(child)]


def models(kept_by: psutil.Process) -> list[psutil.Process]:
    return [child for child in kept_by.children() if keeper.SERVER in command(child)]


def command(process: psutil.Process) -> list[str]:
    try:
        return process.cmdline()
    except psutil.Error:
        return []


def gone(process: psutil.Process) -> bool:
    """A zombie is gone too: in a container nobody may collect it."""
    try:
        return process.status() == psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return True
