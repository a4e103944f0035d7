"""What a run has so far: what its caller sees, and what goes on record."""

from __future__ import annotations

from dataclasses import dataclass, field

from app.providers.stream import Message, Usage


@dataclass(slots=True)
class Answer:
    """What a run has so far.

    added:   the messages of the request that are new to the session; None until the lane was reached.
    steps:   what the run adds behind them: the model's messages, and the results of the agent's own tools.
    parts:   the text that the caller sees, of all steps. said: the text of the step that is not in ``steps`` yet.
    refusal: what the model said instead of an answer; the caller sees it, too.
    calls:   the calls of the caller's tools that end the run.
    service_tiers, fingerprint: what providers told of the model calls: of all, and of the last one.
    changed: a tool that may change something has begun.
    finish_reason: set when the run is complete; from then on it can only be stored.
    """

    added: list[Message] | None = None
    steps: list[Message] = field(default_factory=list)
    parts: list[str] = field(default_factory=list)
    said: list[str] = field(default_factory=list)
    reasoning: list[str] = field(default_factory=list)
    refusal: list[str] = field(default_factory=list)
    calls: list[Message] = field(default_factory=list)
    usage: Usage = Usage()
    service_tiers: set[str | None] = field(default_factory=set)
    fingerprint: str | None = None
    changed: bool = False
    finish_reason: str | None = None

    @property
    def text(self) -> str:
        return "".join(self.parts)

    @property
    def shown(self) -> str:
        """All that the caller sees, for those who tell a refusal like any other answer."""
        return "".join((*self.parts, *self.refusal))

    @property
    def service_tier(self) -> str | None:
        """Where all model calls agree."""
        return next(iter(self.service_tiers)) if len(self.service_tiers) == 1 else None

    @property
    def complete(self) -> bool:
        return self.finish_reason is not None
