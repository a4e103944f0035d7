"""What a provider wants back with its answer, kept with the message in the order in which it came.

A message holds its text in one piece and its calls in a list; a provider that wants its thoughts back wants them where
they stood. ``blocks`` are the provider's own, with ``{"type": "text", "length": …}`` (characters) and
``{"type": "call"}`` in the places of the text and the calls between them; both may hold more that the provider wants
back with them. Only the very model that said it gets it back: of this wire format and of this provider.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from app.providers.stream import Message

log = logging.getLogger("gateway.providers")

# Characters of one answer's thoughts. They are stored with the session and sent with each further call.
MAX_STATE = 1024 * 1024

Block = dict[str, Any]


class Keeper:
    """Collects the state of one answer. model: ``provider/model``."""

    def __init__(self, api: str, model: str) -> None:
        self._api = api
        self._model = model
        self._blocks: list[Block] = []
        self._size = 0

    def grow(self, characters: int) -> bool:
        """Count what is to be kept. Returns whether it still fits; what was cut would be refused."""
        self._size += characters
        return self._size <= MAX_STATE

    def keep(self, block: Block) -> None:
        """A block of the provider's own; ``grow`` has counted it."""
        self._blocks.append(block)

    def text(self, length: int, **more: Any) -> None:
        if length:
            self._blocks.append({"type": "text", "length": length, **more})

    def call(self, **more: Any) -> None:
        self._blocks.append({"type": "call", **more})

    def state(self) -> Mapping[str, Any] | None:
        """What goes into ``Completed.state``; None when nothing was said but text and calls."""
        if self._size > MAX_STATE:
            log.info("model %s thought more than %d characters; they are not kept", self._model, MAX_STATE)
            return None
        if all(block.keys() <= {"type", "length"} for block in self._blocks):
            return None
        return {"api": self._api, "model": self._model, "blocks": self._blocks}


def blocks_of(message: Message, api: str, model: str) -> Sequence[Block]:
    """The kept blocks of an assistant's message, none when another format or another ``provider/model`` wrote them."""
    state = message.get("state")
    if not isinstance(state, Mapping) or (state.get("api"), state.get("model")) != (api, model):
        return ()
    blocks: Sequence[Block] = state["blocks"]
    return blocks


def in_order(blocks: Sequence[Block], text: str, calls: Sequence[Block]) -> Iterator[tuple[str, Block]]:
    """The parts of an answer in their order, as pairs ``(kind, part)``.

    kind: ``kept`` with a block of the provider's own, ``text`` with ``{"text": …}`` and what else was noted of it,
    ``call`` with one of ``calls``. A message that was changed since loses none of its text and calls.
    """
    left = list(calls)
    for block in blocks:
        if block["type"] == "text":
            yield "text", {**block, "text": text[: block["length"]]}
            text = text[block["length"] :]
        elif block["type"] != "call":
            yield "kept", block
        elif left:
            yield "call", left.pop(0)
    yield "text", {"text": text}
    for call in left:
        yield "call", call


def present_turn(messages: Sequence[Message]) -> int:
    """Where the present turn began: at the latest message of the user that does not follow a tool's result; else -1."""
    began, after_result = -1, False
    for position, message in enumerate(messages):
        role = message["role"]
        if role == "user" and not after_result:
            began = position
        after_result = role == "tool" or (after_result and role == "user")
    return began
