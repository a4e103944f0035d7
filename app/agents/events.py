"""What happens in a run, in the order in which it happens. Doors render these and know nothing else of a run."""

from __future__ import annotations

from typing import NamedTuple

from app.errors import GatewayError
from app.providers.stream import Began, ReasoningDelta, TextDelta, Usage


class Ended(NamedTuple):
    """The last event of every run. A run without ``error`` is stored by the time this is seen.

    finish_reason: ``stop``, ``length``, ``tool_calls`` or ``content_filter``; None with an error.
    """

    finish_reason: str | None
    usage: Usage
    error: GatewayError | None = None


Event = Began | TextDelta | ReasoningDelta | Ended

__all__ = ["Began", "Ended", "Event", "ReasoningDelta", "TextDelta"]
