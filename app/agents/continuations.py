"""What a stateless caller does not see of a run that ended with a call of its tools, kept until it comes back.

The agent's own tool calls and a provider's reasoning state are not part of the answer, so the caller's next request
lacks them. With them put back in place the model goes on where it was. Kept in memory and bounded: without them the
request is answered as it is.

They are found by the whole conversation up to the calls. A client that has changed it since, such as one that forgets
its oldest messages, is known by the user's latest message and the ids of its calls, where these are ids that no other
answer has, and has back what the provider wants with them and no more: what the agent's own tools brought may belong
to another conversation.
"""

from __future__ import annotations

import hashlib
import re
import time
from collections import OrderedDict
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

import orjson

from app.agents.turn import Turn
from app.providers.stream import Message, text_of

if TYPE_CHECKING:
    from app.agents.answer import Answer

MOST = 1000
MOST_BYTES = 64 * 1024 * 1024
# Seconds that a caller has for its tools.
MAX_AGE = 3600.0


# Agent, caller, what the user said last, the call's id and its tool.
_Name = tuple[str, str | None, bytes, str, str]
# An id that is made of chance, and no tool's name with a number behind it.
_UNIQUE = re.compile(r"(?=.*[0-9].*[A-Za-z]).{9}")


class _Kept(NamedTuple):
    """calls: names for whoever asks, and for each of the calls."""

    steps: bytes
    at: float
    calls: Sequence[_Name]


class Continuations:
    def __init__(self) -> None:
        self._kept: OrderedDict[bytes, _Kept] = OrderedDict()
        # By call. Some servers count their calls anew in each answer: an id that stands for two says nothing.
        self._by_call: dict[_Name, bytes | None] = {}
        self._size = 0

    def keep(self, turn: Turn, answer: Answer) -> None:
        """After a run that ended with ``answer.calls``."""
        if len(answer.steps) == 1 and "state" not in answer.steps[0]:
            return  # the caller has all of it
        shown: Message = {"role": "assistant", "content": answer.shown, "tool_calls": answer.calls}
        *_, key = _keys(turn, [*turn.messages, shown])
        self._forget(key)
        kept = self._kept[key] = _Kept(
            orjson.dumps(answer.steps), time.monotonic(), _names(turn, _asked(turn.messages), shown)
        )
        self._size += len(kept.steps)
        for name in kept.calls:
            self._by_call[name] = None if name in self._by_call else key
        oldest_allowed = time.monotonic() - MAX_AGE
        while self._kept:
            oldest, kept = next(iter(self._kept.items()))
            if len(self._kept) <= MOST and self._size <= MOST_BYTES and kept.at >= oldest_allowed:
                break
            self._forget(oldest)

    def expand(self, turn: Turn) -> Sequence[Message]:
        """The messages of a stateless turn, with what its caller did not see in its place."""
        if not self._kept or not any("tool_calls" in message for message in turn.messages):
            return turn.messages
        expanded: list[Message] = []
        asked: Any = None
        for message, key in zip(turn.messages, _keys(turn, turn.messages), strict=True):
            if message["role"] == "user":
                asked = message["content"]
            if "tool_calls" not in message:
                expanded.append(message)
            elif (kept := self._get(key)) is not None:
                expanded += orjson.loads(kept.steps)
            else:
                expanded.append(self._with_state(turn, asked, message))
        return expanded

    def _get(self, key: bytes | None) -> _Kept | None:
        kept = self._kept.get(key) if key is not None else None
        return kept if kept is not None and kept.at >= time.monotonic() - MAX_AGE else None

    def _with_state(self, turn: Turn, asked: Any, message: Message) -> Message:
        """The message, with its provider's state where its calls say which answer it was. asked: by the user."""
        names = _names(turn, asked, message)
        kept = self._get(self._by_call.get(names[0])) if names else None
        if kept is None or kept.calls != names:
            return message
        *_, said = (step for step in orjson.loads(kept.steps) if "tool_calls" in step)
        # A step with calls of the agent's own beside them is not the message that the caller has.
        same = "state" in said and _names(turn, asked, said) == names
        return {**message, "state": said["state"]} if same else message

    def _forget(self, key: bytes) -> None:
        kept = self._kept.pop(key, None)
        if kept is not None:
            self._size -= len(kept.steps)
            for name in kept.calls:
                self._by_call.pop(name, None)


def _asked(messages: Sequence[Message]) -> Any:
    """What the user said last."""
    return next((message["content"] for message in reversed(messages) if message["role"] == "user"), None)


def _names(turn: Turn, asked: Any, message: Message) -> list[_Name]:
    """Names of the message's calls; none where their ids may be those of others, too, as where a server counts them."""
    calls = message["tool_calls"]
    if not all(_UNIQUE.match(call["id"]) for call in calls):
        return []
    said = hashlib.sha256(orjson.dumps(asked)).digest()
    return [(turn.agent.id, turn.identity, said, call["id"], call["function"]["name"]) for call in calls]


def _keys(turn: Turn, messages: Sequence[Message]) -> Iterator[bytes]:
    """For each message, a digest of the conversation up to it: of this agent and this caller, and of what was said.

    Calls count by id and name, and an assistant's content by its text: SDKs write both anew.
    """
    digest = hashlib.sha256(orjson.dumps([turn.agent.id, turn.identity]))
    for message in messages:
        calls = [(call["id"], call["function"]["name"]) for call in message.get("tool_calls") or ()]
        content = text_of(message).strip() if message["role"] == "assistant" else message.get("content")
        parts = [message["role"], content, message.get("tool_call_id"), calls]
        digest.update(orjson.dumps(parts))
        yield digest.digest()
