"""What a gateway and its bridges say to each other: JSON lines on a socket, bounded on both sides.

The gateway's first line is an ``Order``. Then come ``{"id": int, "call": str, "arguments": object}`` and
``{"id": int, "cancel": true}``, which has no answer. The bridge says:

``{"tools": [Listed], "refused": [str]}``      all tools of the server, at first and after each change
``{"id": int, "text": str}``                   a call's result
``{"id": int, "error": str}``                  why a call has none, for the model
``{"words": [str]}``                           what the server wrote to its standard error since the last time
``{"failed": str, "detail": str}``             the last line: why it ends. Only ``failed`` may be shown to a model
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

# Bytes of one line, be it of the bridge or of its server.
MAX_LINE = 8 * 1024 * 1024
# Bytes of one call's arguments as JSON.
MAX_ARGUMENTS = 2 * 1024 * 1024
# Seconds between two listings, however often a server says that its tools changed.
LISTING_PAUSE = 2.0
# Tools of one server.
MAX_TOOLS = 128
# Characters of what a tool says about itself, bytes of the JSON Schema of its arguments, and of those of all its tools.
MAX_DESCRIPTION = 2_000
MAX_SCHEMA = 32 * 1024
MAX_SCHEMAS = 256 * 1024
# Characters of a tool's name, and of its result.
MAX_NAME = 256
MAX_RESULT = 100_000
# Characters of a reason, or of a line from a server's standard error.
MAX_REASON = 500
# Characters of what whoever runs the gateway is told beside it.
MAX_DETAIL = 4_000
# What stands in a secret's place.
HIDDEN = "***"
# Seconds that a server has to end by itself once its standard input was closed.
GRACE = 2.0
# Seconds between the end of a server's output and its own, in whatever order they come.
LAST_LOOK = 1.0


class Order(NamedTuple):
    """Which server a bridge connects to: a program that it starts, or a URL.

    name: its key under ``mcp.servers``. timeout: seconds for one request. environment: all of the program's.
    folder: where it works. secrets: what is hidden in the server's words before they are cut, the longest first.
    """

    name: str
    timeout: float
    command: str | None = None
    arguments: tuple[str, ...] = ()
    environment: Mapping[str, str] = {}
    folder: str | None = None
    url: str | None = None
    headers: Mapping[str, str] = {}
    secrets: tuple[str, ...] = ()


class Listed(NamedTuple):
    """A tool as its server describes it. parameters: JSON Schema. reads_only: it says that it changes nothing."""

    name: str
    description: str
    parameters: Mapping[str, Any]
    reads_only: bool


class Failure(Exception):
    """Why a bridge ends. ``reason`` is for everybody, ``detail`` for who runs the gateway."""

    def __init__(self, reason: str, detail: str = "") -> None:
        super().__init__(reason)
        self.reason = reason
        self.detail = detail

    @classmethod
    def of(cls, error: BaseException) -> Failure:
        """What to say about an error, or the first of a group."""
        while isinstance(error, BaseExceptionGroup):
            error = error.exceptions[0]
        if isinstance(error, Failure):
            return error
        if isinstance(error, MemoryError):
            return cls("what it sent took too much memory")
        return cls("the connection to it broke", f"{type(error).__name__}: {error}")


def cut(text: str, limit: int) -> str:
    """The text's beginning, at most ``limit`` characters and a mark."""
    return text if len(text) <= limit else f"{text[:limit]}… [{len(text) - limit:,} more characters]"
