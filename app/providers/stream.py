"""What a provider is asked and what it answers: one call of a model, and the deltas of its answer.

Messages are in the OpenAI Chat Completions shape everywhere inside the gateway; a provider with another wire format
translates at its edge. Two fields are the gateway's own and never go over a wire as they are: ``state`` of an
assistant's message (see ``Completed``), and ``failed``, true, of a tool's result that tells of a failure.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from types import MappingProxyType
from typing import Any, NamedTuple, Protocol

Message = dict[str, Any]


def text_of(message: Message) -> str:
    """The text of a message, whether it stands as a string or as parts."""
    content = message.get("content")
    if isinstance(content, list):
        return "".join(part.get("text", "") for part in content)
    return content or ""


FINISH_REASONS = frozenset({"stop", "length", "tool_calls", "content_filter"})


NO_DETAILS: Mapping[str, int] = MappingProxyType({})


class Usage(NamedTuple):
    """Tokens of one or more model calls.

    cached:  the part of ``prompt`` that the provider had cached.
    written: the part of ``prompt`` that it put into its cache; None when no call told.
    details: what ``completion`` is made of, by the OpenAI API's names (``reasoning_tokens``, …), as far as told.
    """

    prompt: int = 0
    completion: int = 0
    cached: int = 0
    written: int | None = None
    details: Mapping[str, int] = NO_DETAILS

    def plus(self, other: Usage) -> Usage:
        written = other.written if self.written is None else self.written + (other.written or 0)
        details = other.details
        if self.details:
            details = {name: self.details.get(name, 0) + tokens for name, tokens in other.details.items()}
            details = {**self.details, **details}
        return Usage(
            self.prompt + other.prompt, self.completion + other.completion, self.cached + other.cached, written, details
        )


class Began(NamedTuple):
    """The provider has begun to answer; no token is out yet. ``model``: the ``provider/model`` that answers."""

    model: str = ""


class TextDelta(NamedTuple):
    text: str


class ReasoningDelta(NamedTuple):
    text: str


class RefusalDelta(NamedTuple):
    """The model says in words of its own that it won't: text that stands in place of an answer."""

    text: str


class ToolCallDelta(NamedTuple):
    """A part of a tool call.

    index: counts the calls of one answer from 0. The first part of each has ``id`` and ``name``, the others are empty
    there. arguments: a fragment of JSON text, to be appended to those before.
    """

    index: int  # type: ignore[assignment]  # of the call, not tuple's method
    id: str = ""
    name: str = ""
    arguments: str = ""


class Completed(NamedTuple):
    """The answer is whole. Always the last delta.

    state: what the provider wants back with this answer's message to go on with the same reasoning (signatures,
    encrypted thoughts), or None. It is kept with the message as ``message["state"] = {"api": …, "model": …, …}``; only
    the wire format that wrote it reads it.
    service_tier, fingerprint: as the provider told them, of this call.
    """

    finish_reason: str
    usage: Usage
    state: Mapping[str, Any] | None = None
    service_tier: str | None = None
    fingerprint: str | None = None


Delta = Began | TextDelta | RefusalDelta | ReasoningDelta | ToolCallDelta | Completed


class ModelCall(NamedTuple):
    """One call of a model.

    model:       the id that the provider knows.
    sampling:    fields of the OpenAI request, ``max_completion_tokens`` already merged with ``max_tokens``, and what
                 else the caller sent; a provider is sent those that ``request_fields`` names for it.
    deadline:    ``time.monotonic()`` after which nobody waits for the answer; no retry begins that would pass it.
    tools:       OpenAI function tools: ``{"type": "function", "function": {name, description, parameters, strict}}``.
    tool_choice: ``none``, ``auto``, ``required`` or ``{"type": "function", "function": {"name": …}}``; None is auto.
    defaults:    what each model is asked with where ``sampling`` says nothing, by ``provider/model``.
    cache_key:   calls that share a beginning share it, too; a provider that asks for such a key finds its cache by it.
    """

    model: str
    messages: Sequence[Message]
    deadline: float
    sampling: Mapping[str, Any] = MappingProxyType({})
    tools: Sequence[Mapping[str, Any]] = ()
    tool_choice: str | Mapping[str, Any] | None = None
    cache_key: str = ""
    defaults: Mapping[str, Mapping[str, Any]] = MappingProxyType({})


class Provider(Protocol):
    def stream(self, call: ModelCall) -> Iterator[Delta]:
        """Deltas of the answer, ``Completed`` last. Closing the iterator stops the model.

        Raises ProviderError and its kinds.
        """
