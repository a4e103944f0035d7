"""Times as the protocol has them."""

from __future__ import annotations


def ms(seconds: float) -> int:
    """Whole milliseconds, of a time or of a duration."""
    return int(seconds * 1000)
