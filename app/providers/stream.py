"""What a provider is asked and what it answers: one call of a model, and the deltas of its answer.

Messages are in the OpenAI Chat Completions shape everywhere inside the gateway; a provider with another wire format
translates at its edge.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from types import MappingProxyType
from typing import Any, NamedTuple, Protocol

Message = dict[str, Any]

FINISH_REASONS = frozenset({"stop", "length", "tool_calls", "content_filter"})


class Usage(NamedTuple):
    """Tokens of one or more model calls. ``cached`` is the part of ``prompt`` that the provider had cached."""

    prompt: int = 0
    completion: int = 0
    cached: int = 0

    def plus(self, other: Usage) -> Usage:
        return Usage(self.prompt + other.prompt, self.completion + other.completion, self.cached + other.cached)


class Began(NamedTuple):
    """The provider has begun to answer; no token is out yet."""

    def __bool__(self) -> bool:
        # An empty tuple would pass for no event.
        return True


class TextDelta(NamedTuple):
    text: str


class ReasoningDelta(NamedTuple):
    text: str


class Completed(NamedTuple):
    """The answer is whole. Always the last delta."""

    finish_reason: str
    usage: Usage


Delta = Began | TextDelta | ReasoningDelta | Completed


class ModelCall(NamedTuple):
    """One call of a model.

    model:    the id that the provider knows.
    sampling: fields of the OpenAI request, ``max_completion_tokens`` already merged with ``max_tokens``.
    deadline: ``time.monotonic()`` after which nobody waits for the answer; no retry begins that would pass it.
    """

    model: str
    messages: Sequence[Message]
    deadline: float
    sampling: Mapping[str, Any] = MappingProxyType({})


class Provider(Protocol):
    def stream(self, call: ModelCall) -> Iterator[Delta]:
        """Deltas of the answer, ``Completed`` last. Closing the iterator stops the model.

        Raises ProviderError and its kinds.
        """
