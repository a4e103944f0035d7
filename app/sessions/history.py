"""How a request's messages meet what its session holds."""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from app.errors import InvalidRequest
from app.providers.stream import Message, text_of

# What a model reads where a caller left one of its calls unanswered: model APIs refuse a call without a result.
NO_RESULT = "error: no result was given"


class PastTurn(NamedTuple):
    """Messages of an earlier turn. ``id``: its row; 0 for messages that only the request holds."""

    id: int
    messages: Sequence[Message]


@dataclass(frozen=True, slots=True)
class Meeting:
    """past: what the model reads before ``new``. new: the messages that this turn adds to the session.
    foreign: the request brought another conversation than the session's, and this run uses the request's own.
    """

    past: list[PastTurn]
    new: list[Message]
    foreign: bool = False


def meet(stored: Sequence[PastTurn], request: Sequence[Message]) -> Meeting:
    """Join a session's history and a request's messages (neither holds system messages).

    An empty session takes the whole request. Later the session takes only what follows the request's last assistant
    message, so that a caller who resends everything doubles nothing. Raises InvalidRequest for a tool's result whose
    call is nowhere, or has its result already.
    """
    if not stored:
        return Meeting([], _fresh(request, ()))
    last_reply = _last_reply(request)
    new = list(request[last_reply + 1 :])
    if last_reply < 0 or any(_same_reply(turn, request[last_reply]) for turn in reversed(stored)):
        before = [message for turn in stored for message in turn.messages]
        return Meeting(list(stored), _fresh(new, before))
    _fresh(request, ())
    return Meeting([PastTurn(0, request[: last_reply + 1])], new, foreign=True)


def holds_reply(stored: Iterable[PastTurn], request: Sequence[Message]) -> bool:
    """Whether the request's last assistant message is what one of the turns answered."""
    last_reply = _last_reply(request)
    return last_reply >= 0 and any(_same_reply(turn, request[last_reply]) for turn in stored)


def paired(messages: Sequence[Message]) -> list[Message]:
    """The same conversation with each tool result right behind its call, and each call with a result.

    A result whose call is not there is left out. Where calls share an id, a result is the latest one's before it.
    """
    if not [None for message in messages if message["role"] == "tool" or "tool_calls" in message]:
        return list(messages)
    ordered: list[Message] = []
    # By call id, the places that wait for a result.
    waiting: dict[str, deque[int]] = {}
    for message in messages:
        if message["role"] == "tool":
            if places := waiting.get(message["tool_call_id"]):
                ordered[places.popleft()] = message
            continue
        ordered.append(message)
        calls = list(_calls([message]))
        for place, id in reversed(list(enumerate(calls, len(ordered)))):
            waiting.setdefault(id, deque()).appendleft(place)
        ordered += ({"role": "tool", "tool_call_id": id, "content": NO_RESULT} for id in calls)
    return ordered


def shown_text(messages: Iterable[Message]) -> str:
    """What a caller saw of a turn's answers, the text of each step on a paragraph of its own."""
    texts = (text_of(message) for message in messages if message["role"] == "assistant")
    return STEP_BREAK.join(text for text in texts if text)


# Between what a model says in one step and in the next.
STEP_BREAK = "\n\n"


def _last_reply(request: Sequence[Message]) -> int:
    """Where the last assistant message stands, -1 if there is none."""
    return max((i for i, message in enumerate(request) if message["role"] == "assistant"), default=-1)


def _same_reply(turn: PastTurn, sent: Message) -> bool:
    """Whether a caller who saw the turn would send its answer back so.

    Either as it stands, as in a conversation that an empty session took over, or as the caller saw it: the texts of all
    steps in one, without the calls of the agent's own tools.
    """
    calls, text = Counter(_calls([sent])), text_of(sent).strip()
    for reply in _replies(turn.messages):
        for start, message in enumerate(reply):
            if message["role"] != "assistant":
                continue
            if text_of(message).strip() == text and Counter(_calls([message])) == calls:
                return True
            # What the caller saw begins with the turn, or behind the results that it gave itself.
            shown = reply[start:]
            if shown_text(shown).strip() == text and _open_calls(shown) == calls:
                return True
    return False


def _replies(messages: Sequence[Message]) -> Iterator[list[Message]]:
    """The messages between those of users."""
    reply: list[Message] = []
    for message in messages:
        if message["role"] == "user":
            if reply:
                yield reply
            reply = []
        else:
            reply.append(message)
    if reply:
        yield reply


def _fresh(new: Sequence[Message], before: Sequence[Message]) -> list[Message]:
    """``new`` without the results that ``before`` has already. Raises InvalidRequest for one that answers nothing."""
    if "tool" not in [message["role"] for message in new]:
        return list(new)
    open = _open_calls(before)
    answered = {id for id in _results(before) if not open[id]}
    fresh = []
    for message in new:
        if message["role"] == "tool":
            id = message["tool_call_id"]
            if id in answered:
                continue
            if not open[id]:
                raise InvalidRequest(
                    f"no earlier message makes the tool call {id[:128]!r}, or it has its result already",
                    param="messages",
                )
            open[id] -= 1
        open.update(_calls([message]))
        fresh.append(message)
    if not fresh:
        raise InvalidRequest("every tool call that these messages answer has its result already", param="messages")
    return fresh


def _open_calls(messages: Sequence[Message]) -> Counter[str]:
    """Calls without a result, by id: in a reply those that the caller owes. Some servers give an id more than once."""
    open: Counter[str] = Counter()
    for message in messages:
        if message["role"] == "tool" and open[message["tool_call_id"]]:
            open[message["tool_call_id"]] -= 1
        open.update(_calls([message]))
    return open


def _calls(messages: Iterable[Message]) -> Iterator[str]:
    for message in messages:
        for call in message.get("tool_calls") or ():
            yield call["id"]


def _results(messages: Iterable[Message]) -> Iterator[str]:
    for message in messages:
        if message["role"] == "tool":
            yield message["tool_call_id"]
