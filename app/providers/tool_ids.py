"""Ids of tool calls that a server can't take, because another one made them: written anew, the same way each time."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable, Sequence
from typing import NamedTuple

from app.providers.stream import Message

_LETTERS = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789"
# Roles of messages that have no ids.
_WITHOUT = ("user", "system")


class Ids(NamedTuple):
    """accepted: what a server takes as it is. length: of an id that stands for another."""

    accepted: re.Pattern[str]
    length: int


# https://docs.mistral.ai/capabilities/function_calling: "must be a-z, A-Z, 0-9, with a length of 9"
MISTRAL = Ids(re.compile(r"[A-Za-z0-9]{9}\Z"), 9)
# OpenAI's two APIs; nobody else is known to be stricter.
COMPLETIONS = Ids(re.compile(r"[\x21-\x7e]{1,40}\Z"), 24)
RESPONSES = Ids(re.compile(r"[\x21-\x7e]{1,64}\Z"), 24)


def rewritten(messages: Sequence[Message], ids: Ids) -> Sequence[Message]:
    """The messages with ids that the server takes, in calls and results alike; themselves when all are fine."""
    known = {id for message in messages if message["role"] not in _WITHOUT for id in _ids_of(message)}
    if not known or all(ids.accepted.match(id) for id in known):
        return messages
    new: dict[str, str] = {id: id for id in known if ids.accepted.match(id)}
    taken = set(new)
    for id in sorted(known - taken):
        salt = 0
        while (made := _made(id, ids.length, salt)) in taken:
            salt += 1
        new[id] = made
        taken.add(made)
    return [_with_ids(message, new.__getitem__) for message in messages]


def _ids_of(message: Message) -> Sequence[str]:
    if calls := message.get("tool_calls"):
        return [call["id"] for call in calls]
    return (message["tool_call_id"],) if message["role"] == "tool" else ()


def _with_ids(message: Message, new: Callable[[str], str]) -> Message:
    if calls := message.get("tool_calls"):
        return {**message, "tool_calls": [{**call, "id": new(call["id"])} for call in calls]}
    return {**message, "tool_call_id": new(message["tool_call_id"])} if message["role"] == "tool" else message


def _made(id: str, length: int, salt: int) -> str:
    number = int.from_bytes(hashlib.sha256(f"{salt}:{id}".encode("utf-8", "replace")).digest(), "big")
    letters = []
    for _ in range(length):
        number, letter = divmod(number, len(_LETTERS))
        letters.append(_LETTERS[letter])
    return "".join(letters)
