"""What a run's model reads, and how it is made to fit the model's context window.

The transcript keeps every message. Only this view gets shorter: older turns become a summary, written by the model.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any

import orjson

from app.providers.stream import Message, text_of
from app.sessions.history import PastTurn, paired

# Bytes of text for each token: English has 4.3, other scripts and code fewer.
BYTES_PER_TOKEN = 3.6
# Tokens of a message's frame, and of an image whatever its size.
FRAME = 6
IMAGE = 1500
# Shares of the room for messages: what stays word for word, the summary, and what is summarised at a time.
KEPT, SUMMARY, PIECE = 0.4, 0.12, 0.5
# Characters of one message that a summary is made from.
MAX_QUOTED = 4000

# Given the summary so far and a piece of the conversation, the new summary of at most so many tokens.
Summarise = Callable[[str, str, int], str]


class Context:
    """One run's view of its conversation. ``steps`` is what the run itself adds, call by call.

    tools: what every call of the model carries besides.
    """

    def __init__(
        self,
        system: str,
        past: Sequence[PastTurn],
        new: Sequence[Message],
        *,
        summary: str = "",
        tools: Sequence[Mapping[str, Any]] = (),
    ) -> None:
        self.steps: list[Message] = []
        self.summary = summary
        self._system = system
        self._past = [part for turn in past for part in ((turn,) if turn.id else _turns(turn.messages))] if past else []
        self._new = list(new)
        self._tools = tools
        # Of what the summary covers, what must stay word for word; and what the run did before ``steps``, in short.
        self._pinned: list[Message] = []
        self._notes = ""
        self._head: list[Message] = []
        self._head_size: int | None = None
        self._arrange()

    def messages(self) -> list[Message]:
        return [*self._head, *self.steps]

    def size(self) -> int:
        """Tokens, roughly."""
        if self._head_size is None:
            self._head_size = size_of(self._head) + int(len(orjson.dumps(self._tools)) / BYTES_PER_TOKEN)
        return self._head_size + size_of(self.steps)

    def compact(self, room: int, summarise: Summarise) -> int | None:
        """Replace what is oldest by a summary, so that the rest takes less than ``room`` tokens.

        Returns the id of the last stored turn that the summary covers, 0 when it covers none, None when there was
        nothing to shorten. A tool call is never parted from its result, and the user's latest message stays.
        """
        if not self._past:
            self._split_request()
        keep = int(room * KEPT) - size_of(self.steps) - size_of(self._new)
        covered, kept = _parted(self._past, keep)
        old = [message for turn in covered for message in turn.messages]
        rest = [message for turn in kept for message in turn.messages] + self._new
        pinned = _needed([*self._pinned, *old], rest)
        if old and len(pinned) < len(self._pinned) + len(old):
            self.summary = self._fold(self.summary, old, room, summarise)
            self._past, self._pinned = kept, pinned
            self._arrange()
            return _last_whole(covered, pinned)
        return 0 if self._shorten_steps(room, summarise) else None

    def _arrange(self) -> None:
        text = self._system
        conversation = [*self._pinned, *(message for turn in self._past for message in turn.messages), *self._new]
        if self.summary:
            summary = f"Summary of the earlier conversation:\n{self.summary}"
            if any(message["role"] == "user" for message in conversation):
                text += f"\n\n{summary}"
            else:  # some models answer nothing where no user speaks
                conversation.insert(0, {"role": "user", "content": summary})
        self._head = [{"role": "system", "content": text}, *paired(conversation)]
        if self._notes:
            self._head.append({"role": "user", "content": f"[What you have done so far for this:\n{self._notes}]"})
        self._head_size = None

    def _split_request(self) -> None:
        """Take what a request holds before its last user message for earlier turns."""
        start = max((i for i, message in enumerate(self._new) if message["role"] == "user"), default=0)
        before, self._new = self._new[:start], self._new[start:]
        self._past = list(_turns(before))

    def _shorten_steps(self, room: int, summarise: Summarise) -> bool:
        """The run itself has become too long: its older steps become notes."""
        steps = _steps(self.steps)
        kept = max(len(steps) // 2, 1)
        old, latest = steps[:-kept], steps[-kept:]
        if not old:
            return False
        self._notes = self._fold(self._notes, [message for step in old for message in step], room, summarise)
        # A provider's own thoughts are bound to the messages that stood before them.
        self.steps = [{key: value for key, value in m.items() if key != "state"} for step in latest for m in step]
        self._arrange()
        return True

    @staticmethod
    def _fold(summary: str, messages: Iterable[Message], room: int, summarise: Summarise) -> str:
        most = max(int(room * SUMMARY), 64)
        for piece in _pieces(messages, max(int(room * PIECE * BYTES_PER_TOKEN), MAX_QUOTED // 8)):
            # A model that has nothing to say must not cost what was said.
            written = summarise(summary, piece, most).strip() or f"{summary}\n{piece}".strip()
            summary = written[: int(most * BYTES_PER_TOKEN * 1.5)]
        return summary


def size_of(messages: Iterable[Message]) -> int:
    """Tokens of these messages, roughly and rather too many."""
    size, frames = 0, 0
    for message in messages:
        frames += FRAME
        content = message.get("content")
        if isinstance(content, str):
            size += _bytes(content)
        elif content:
            for part in content:
                if "text" in part:
                    size += _bytes(part["text"])
                else:
                    frames += IMAGE
        for call in message.get("tool_calls") or ():
            size += _bytes(call["function"]["arguments"]) + len(call["function"]["name"])
            frames += FRAME
    return int(size / BYTES_PER_TOKEN) + frames


def _bytes(text: str) -> int:
    return len(text) if text.isascii() else len(text.encode("utf-8", "replace"))


def _parted(past: list[PastTurn], keep: int) -> tuple[list[PastTurn], list[PastTurn]]:
    """(older turns, the latest ones that take at most ``keep`` tokens); at least one is older, if there is any."""
    kept = 0
    for turn in reversed(past[1:]):
        keep -= size_of(turn.messages)
        if keep < 0:
            break
        kept += 1
    return past[: len(past) - kept], past[len(past) - kept :]


def _needed(old: Sequence[Message], rest: Sequence[Message]) -> list[Message]:
    """What of ``old`` must stay before ``rest``: calls that it answers, and a user's message if it has none."""
    needed: set[int] = set()
    if not any(message["role"] == "user" for message in rest):
        needed.update([i for i, message in enumerate(old) if message["role"] == "user"][-1:])
    owed = _owed(rest)
    # From the end: where servers use an id again, a result is the latest call's.
    for i in reversed(range(len(old))):
        ids = set(_called(old[i]))
        if owed & ids:
            owed -= ids
            needed.add(i)
            needed.update(j for j in range(i, len(old)) if old[j].get("tool_call_id") in ids)
    return [old[i] for i in sorted(needed)]


def _owed(rest: Sequence[Message]) -> set[str]:
    """Ids of calls that ``rest`` answers and did not make before."""
    owed: set[str] = set()
    made: set[str] = set()
    for message in rest:
        if message["role"] == "tool" and message["tool_call_id"] not in made:
            owed.add(message["tool_call_id"])
        made.update(_called(message))
    return owed


def _last_whole(covered: Sequence[PastTurn], pinned: Sequence[Message]) -> int:
    """The id of the last turn before those with calls that stay, 0 if there is none."""
    last = 0
    for turn in covered:
        if any(message is call for call in pinned if "tool_calls" in call for message in turn.messages):
            break
        last = turn.id
    return last


def _called(message: Message) -> Iterator[str]:
    for call in message.get("tool_calls") or ():
        yield call["id"]


def _turns(messages: Sequence[Message]) -> Iterator[PastTurn]:
    """Cut what only a request holds before each user message."""
    turn: list[Message] = []
    for message in messages:
        if message["role"] == "user" and turn:
            yield PastTurn(0, turn)
            turn = []
        turn.append(message)
    if turn:
        yield PastTurn(0, turn)


def _steps(messages: Sequence[Message]) -> list[list[Message]]:
    """Cut before each assistant message, so that results stay with their calls."""
    steps: list[list[Message]] = []
    for message in messages:
        if message["role"] == "assistant" or not steps:
            steps.append([])
        steps[-1].append(message)
    return steps


def _pieces(messages: Iterable[Message], limit: int) -> Iterator[str]:
    """The conversation as text, in pieces of about ``limit`` characters."""
    piece = ""
    for message in messages:
        quoted = _quoted(message)[: min(MAX_QUOTED, limit)]
        if piece and len(piece) + len(quoted) > limit:
            yield piece
            piece = ""
        piece += quoted + "\n"
    if piece:
        yield piece


def _quoted(message: Message) -> str:
    who = {"user": "User", "assistant": "Assistant", "tool": "Tool result"}[message["role"]]
    calls = "".join(
        f" [calls {call['function']['name']} {call['function']['arguments'][:500]}]"
        for call in message.get("tool_calls") or ()
    )
    return f"{who}: {text_of(message)}{calls}"
