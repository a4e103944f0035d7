"""What a file may ask for and this version doesn't do yet: said at each load, so that nobody relies on it."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from app.config.faults import ABSENT, KeyPath, Report, What, dotted, value_at

# A version that brings a feature deletes its row.
_WITHOUT_EFFECT: tuple[KeyPath, ...] = (
    ("gateway", "http", "endpoints", "responses", "enabled"),
    ("gateway", "controlUi", "enabled"),
    ("gateway", "controlUi", "basePath"),
    ("cluster", "redisUrl"),
)


def unsupported(document: dict[str, Any], report: Report) -> Iterator[str]:
    """Warnings, a line each. document: the file's known keys, resolved and sound."""
    found = [path for path in _WITHOUT_EFFECT if value_at(document, path) not in (ABSENT, False)]
    for path in found:
        report.note(path, What.IGNORED)
    if found:
        yield f"not supported by this version and without effect: {', '.join(map(dotted, found))}"
