"""What a door asks of an agent."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from types import MappingProxyType
from typing import Any, NamedTuple

from app.config.settings import Agent, ModelChoice
from app.providers.stream import Message


class Turn(NamedTuple):
    """One question to one agent, the same from every door.

    session_key:  the session; a ``stateless`` turn has a key that nobody else has, and leaves nothing behind.
    messages:     OpenAI chat messages without system messages; at least one.
    prepare:      makes ``messages`` fit for a model, in place, within the run's deadline; raises InvalidRequest.
    instructions: what system and developer messages said, for this run only.
    sampling:     fields of the OpenAI request that go to the provider, see ``ModelCall``.
    tools:        the caller's own, OpenAI function tools; a call to one of them ends the run.
    tool_choice:  ``none``, ``auto``, ``required`` or OpenAI's object that names one of ``tools``.
    allowed:      names of those ``tools`` that may be called; None: all of them. The model is offered all the same.
    metadata:     what the caller wants to find again with the answer.
    model:        instead of the agent's.
    admin:        the caller may see and use every session, so the agent may, too.
    identity:     who asks, where callers are told apart; None: anybody may.
    channel:      where the message came from, as the caller says.
    behind:       session keys whose runs wait for this one.
    """

    agent: Agent
    session_key: str
    stateless: bool
    messages: Sequence[Message]
    prepare: Callable[[], None] | None = None
    instructions: str = ""
    sampling: Mapping[str, Any] = MappingProxyType({})
    tools: Sequence[Mapping[str, Any]] = ()
    tool_choice: str | Mapping[str, Any] | None = None
    allowed: frozenset[str] | None = None
    metadata: Mapping[str, str] | None = None
    model: ModelChoice | None = None
    admin: bool = False
    identity: str | None = None
    channel: str | None = None
    request_id: str | None = None
    behind: tuple[str, ...] = ()
