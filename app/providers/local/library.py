"""What llama.cpp runs on and its wheel does not bring along: GNU's library of OpenMP."""

from __future__ import annotations

import ctypes

LIBRARY = "libgomp.so.1"
PACKAGE = "libgomp1"  # of Debian
REMEDY = f"`apt-get install {PACKAGE}`, or name a model of another provider"


def is_there() -> bool:
    """Whether this machine has it. Only the model's own process needs it: everything else works without."""
    try:
        ctypes.CDLL(LIBRARY)
    except OSError:
        return False
    return True
