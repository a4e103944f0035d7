"""The agent loop: model → events → end."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field

from app.agents.events import Event
from app.agents.turn import Turn
from app.providers.catalogue import Catalogue
from app.providers.stream import Completed, Message, ModelCall, ReasoningDelta, TextDelta, Usage


@dataclass(slots=True)
class Answer:
    """What a run has so far.

    added:    the messages of the request that are new to the session; None until the lane was reached.
    complete: the model finished; from then on the run can only be stored.
    """

    added: list[Message] | None = None
    parts: list[str] = field(default_factory=list)
    reasoning: list[str] = field(default_factory=list)
    usage: Usage = Usage()
    finish_reason: str | None = None

    @property
    def text(self) -> str:
        return "".join(self.parts)

    @property
    def complete(self) -> bool:
        return self.finish_reason is not None


def converse(
    catalogue: Catalogue, turn: Turn, messages: list[Message], deadline: float, answer: Answer
) -> Iterator[Event]:
    """Ask the agent's model and pass on what it says, while ``answer`` grows. Raises ProviderError and its kinds."""
    call = ModelCall(model="", messages=messages, sampling=turn.sampling, deadline=deadline)
    for delta in catalogue.stream(turn.agent.model, call):
        if isinstance(delta, TextDelta):
            answer.parts.append(delta.text)
        elif isinstance(delta, ReasoningDelta):
            answer.reasoning.append(delta.text)
        elif isinstance(delta, Completed):
            answer.usage = answer.usage.plus(delta.usage)
            answer.finish_reason = delta.finish_reason
            return
        yield delta
