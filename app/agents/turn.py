"""What a door asks of an agent."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from app.config.settings import Agent
from app.providers.stream import Message


@dataclass(frozen=True, slots=True)
class Turn:
    """One question to one agent, the same from every door.

    session_key:  the session; a ``stateless`` turn has a key that nobody else has, and leaves nothing behind.
    messages:     OpenAI chat messages without system messages; at least one.
    instructions: what system and developer messages said, for this run only.
    sampling:     fields of the OpenAI request that go to the provider.
    channel:      where the message came from, as the caller says.
    """

    agent: Agent
    session_key: str
    stateless: bool
    messages: Sequence[Message]
    instructions: str = ""
    sampling: Mapping[str, Any] = field(default_factory=dict)
    channel: str | None = None
    request_id: str | None = None
