"""What happens in a run, in the order in which it happens. Doors render these and know nothing else of a run."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

from app.errors import GatewayError
from app.providers.stream import Began, ReasoningDelta, RefusalDelta, TextDelta, ToolCallDelta, Usage


class ToolStarted(NamedTuple):
    """One of the agent's own tools begins. ``id`` names the call in ``ToolEnded`` too."""

    id: str
    name: str
    arguments: Mapping[str, Any]


class ToolEnded(NamedTuple):
    """result: what the model reads; with ``failed`` it begins with ``error: ``."""

    id: str
    name: str
    failed: bool
    result: str


class Ended(NamedTuple):
    """The last event of every run. A run without ``error`` is stored by the time this is seen.

    finish_reason: ``stop``, ``length``, ``tool_calls`` or ``content_filter``; None with an error.
    """

    finish_reason: str | None
    usage: Usage
    error: GatewayError | None = None


# ToolCallDelta: calls of the caller's own tools only, counted from 0 over the whole run.
Event = Began | TextDelta | RefusalDelta | ReasoningDelta | ToolCallDelta | ToolStarted | ToolEnded | Ended

__all__ = [
    "Began",
    "Ended",
    "Event",
    "ReasoningDelta",
    "RefusalDelta",
    "TextDelta",
    "ToolCallDelta",
    "ToolEnded",
    "ToolStarted",
]
