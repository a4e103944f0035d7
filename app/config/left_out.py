"""Entries of a list that the gateway goes without: said at each load, so that nobody waits for them to do something."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from app.config.faults import KeyPath, value_at
from app.config.fields import is_left_out

_ORIGINS: tuple[KeyPath, ...] = (
    ("gateway", "controlUi", "allowedOrigins"),
    ("gateway", "http", "cors", "allowedOrigins"),
)


def left_out(document: dict[str, Any]) -> Iterator[KeyPath]:
    """Where such an entry stands. document: the file's known keys, resolved."""
    for path in _ORIGINS:
        entries = value_at(document, path)
        if isinstance(entries, list):
            yield from ((*path, index) for index, entry in enumerate(entries) if is_left_out(entry))
