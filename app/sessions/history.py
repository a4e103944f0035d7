"""How a request's messages meet what its session holds."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from app.providers.stream import Message


@dataclass(frozen=True, slots=True)
class Meeting:
    """history: what the model reads before ``new``. new: the messages that this turn adds to the session.
    foreign: the request brought another conversation than the session's, and this run uses the request's own.
    """

    history: list[Message]
    new: list[Message]
    foreign: bool = False


def meet(stored: Sequence[Message], request: Sequence[Message]) -> Meeting:
    """Join a session's history and a request's messages (neither holds system messages).

    An empty session takes the whole request. Later the session takes only what follows the request's last assistant
    message, so that a caller who resends everything doubles nothing.
    """
    if not stored:
        return Meeting([], list(request))
    last_reply = max((i for i, message in enumerate(request) if message["role"] == "assistant"), default=None)
    if last_reply is None:
        return Meeting(list(stored), list(request))
    new = list(request[last_reply + 1 :])
    if any(_same_reply(message, request[last_reply]) for message in reversed(stored)):
        return Meeting(list(stored), new)
    return Meeting(list(request[: last_reply + 1]), new, foreign=True)


def _same_reply(stored: Message, sent: Message) -> bool:
    return (
        stored["role"] == "assistant"
        and text_of(stored).strip() == text_of(sent).strip()
        and _call_ids(stored) == _call_ids(sent)
    )


def text_of(message: Message) -> str:
    """The text of a message, whether it stands as a string or as parts."""
    content = message.get("content")
    if isinstance(content, list):
        return "".join(part.get("text", "") for part in content)
    return content or ""


def _call_ids(message: Message) -> list[str]:
    return [call["id"] for call in message.get("tool_calls") or ()]
