"""Server-sent events of a provider, and what every wire format reads in the same way.

Grammar: https://html.spec.whatwg.org/multipage/server-sent-events.html
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import orjson

from app.errors import ProviderError
from app.providers.upstream import Answer

# Seconds. Once the answer is whole only usage and the stream's own end can follow; some servers never send them.
AFTER_FINISH_TIMEOUT = 5.0
AFTER_DONE_TIMEOUT = 0.2


def events(provider: str, answer: Answer) -> Iterator[dict[str, Any]]:
    """The ``data`` of each event, up to the message's end.

    Raises ProviderError for data that is no JSON object, and what ``answer.lines`` raises.
    """
    for line in answer.lines():
        if not line.startswith(b"data:"):
            continue  # comments, event names and the blank lines between events
        data = line[5:].strip()
        if data == b"[DONE]":
            # Read on to the message's end, or the connection can't be used again; but all that matters is here.
            answer.hurry(AFTER_DONE_TIMEOUT)
            continue
        if not data:
            continue
        try:
            event = orjson.loads(data)
        except orjson.JSONDecodeError:
            event = _parse_leniently(data)
        if type(event) is not dict:
            raise ProviderError(f"provider {provider} sent a line that is not a JSON object")
        yield event


def checked(text: Any) -> str:
    """The text itself. Raises TypeError for anything else."""
    if not isinstance(text, str):
        raise TypeError(f"text expected, found {type(text).__name__}")
    return text


def count(tokens: Any) -> int:
    """A number of tokens; 0 for what is none."""
    return tokens if type(tokens) is int and tokens > 0 else 0


def unknown_shape(provider: str) -> ProviderError:
    return ProviderError(f"provider {provider} sent an event of an unknown shape")


def unfinished(provider: str, began: bool) -> ProviderError:
    what = "ended its answer without a finish reason" if began else "sent an empty answer"
    return ProviderError(f"provider {provider} {what}")


def _parse_leniently(data: bytes) -> Any:
    """Servers that cut an emoji between two chunks send lone surrogates, which orjson refuses."""
    try:
        text = json.dumps(json.loads(data), ensure_ascii=False)
    except (ValueError, RecursionError):
        return None
    return json.loads(text.encode("utf-16", "surrogatepass").decode("utf-16", "replace"))
