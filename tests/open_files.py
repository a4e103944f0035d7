"""How many files this process has open."""

from __future__ import annotations

import gc

import psutil


def open_files() -> int:
    """What tests before this one left behind may be closed at any time: ask for no more, not as many."""
    gc.collect()
    return psutil.Process().num_fds()
