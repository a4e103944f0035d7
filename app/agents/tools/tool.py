"""What a tool is."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING, Any

import orjson
from jsonschema import Draft202012Validator
from jsonschema.exceptions import best_match

if TYPE_CHECKING:
    from app.agents.run import Run

# Characters of what a validator says; it quotes the argument, however long that is.
MAX_FAULT = 300


class ToolFailed(Exception):
    """The tool could not do what it was asked. The model reads the message as the call's result, and goes on."""


@dataclass(frozen=True, slots=True)
class Tool:
    """One thing that an agent can do.

    name:        what the model calls it; at most 64 letters, digits, ``_`` and ``-``.
    description: for the model, and paid for with every call: short.
    parameters:  the JSON Schema of the arguments, an object. Arguments that don't meet it never reach the tool.
    work:        does it, in a greenlet of its own that may be killed at any wait, and must then leave nothing behind.
                 Given the run and the arguments it returns text for the model, or raises ToolFailed. What it waits for
                 is bounded by itself; it never holds up the hub.
    concurrent:  calls of one step may run beside each other.
    changes:     it may change something outside the run, so that the same request must not be sent again blindly.
    full_name:   what policies call it, where models need another, shorter name.
    checked:     arguments are checked against ``parameters`` here; off where somebody else does it, and knows better.
    """

    name: str
    description: str
    parameters: Mapping[str, Any]
    work: Callable[[Run, dict[str, Any]], str]
    concurrent: bool = False
    changes: bool = True
    full_name: str = ""
    checked: bool = True

    def fault_of(self, arguments: dict[str, Any]) -> str:
        """What is wrong with the arguments, for the model to read; empty if nothing is."""
        if not self.checked:
            return ""
        # Before the library, which takes its time over each of them.
        closed = self.parameters.get("additionalProperties") is False
        if closed and (unknown := arguments.keys() - self.parameters.get("properties", {}).keys()):
            return f"unknown arguments: {', '.join(sorted(unknown)[:5])[:MAX_FAULT]}"
        try:
            error = best_match(_validator(orjson.dumps(self.parameters)).iter_errors(arguments))
        except RecursionError:
            return "the arguments are nested too deeply"
        if error is None:
            return ""
        where = ".".join(map(str, error.absolute_path)) or "arguments"
        return f"{where}: {error.message[:MAX_FAULT]}"


@lru_cache(maxsize=256)
def _validator(schema: bytes) -> Any:
    return Draft202012Validator(orjson.loads(schema))
