"""What a provider's answer holds: server-sent events, or one JSON document where a server doesn't stream.

Grammar: https://html.spec.whatwg.org/multipage/server-sent-events.html. Read liberally: servers leave the blank lines
out, write one event's JSON over several lines, begin with a byte order mark, or send plain JSON.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from itertools import chain
from typing import Any

import orjson

from app import large_json
from app.errors import ProviderError, ProviderFault
from app.large_json import STEP
from app.providers.upstream import MAX_LINE, Answer

# Seconds. Once the answer is whole only usage and the stream's own end can follow; some servers never send them.
AFTER_FINISH_TIMEOUT = 5.0
AFTER_DONE_TIMEOUT = 0.2

# Bytes of JSON in more than one line: a whole answer in one document.
MAX_DOCUMENT = 4 * MAX_LINE
# Bytes that are mended: in one go, and in some 20 ms.
MAX_MENDED = 512 * 1024
# More than any call can have; what is summed has to fit a database's integers.
MOST_TOKENS = 10**12

# What proxies and servers send to show that they are alive, as an event's name or as its whole data.
_SIGNS_OF_LIFE = frozenset({b"ping", b"keepalive", b"keep-alive", b"heartbeat"})
_DONE = b"[DONE]"
# No line that begins with a blank, or with nothing, comes behind it in order.
_VISIBLE = b"!"
_NO_JSON = object()


class Events:
    """The events of one answer, each a JSON object, up to the message's end.

    Iterating raises ProviderError for data that is no JSON object, and what ``answer.lines`` raises.

    An event's name stands in as its ``type`` where it has none; an event that is called ``error`` is one whatever its
    data is: ``{"error": …}``.
    """

    def __init__(self, provider: str, answer: Answer) -> None:
        self._provider = provider
        self._answer = answer
        # Lines of JSON that is not whole yet, and whether they are those of a plain document.
        self._waiting: list[bytes] = []
        self._plain = False
        self._size = 0
        self._any = False

    def __iter__(self) -> Iterator[dict[str, Any]]:
        name = b""
        for line in chain.from_iterable(self._answer.lines()):
            if line < _VISIBLE:
                line = line.strip()  # noqa: PLW2901 - proxies pad an answer that takes its time
                if not line:
                    if self._waiting and not self._plain:
                        yield from self._waited(name)
                    name = b""
                    continue
            if line.startswith(b"data:"):
                data = line[5:].strip()
                # Nearly every event is one line, and is told before the blank line behind it has come.
                if data != _DONE and not self._waiting:
                    try:
                        parsed = orjson.loads(data) if len(data) <= STEP else large_json.loads(data)
                    except orjson.JSONDecodeError:
                        pass
                    else:
                        if type(parsed) is dict and not name:
                            self._any = True
                            yield parsed
                        else:
                            yield from self._objects(parsed, name)
                            name = b""
                        continue
                if data.upper() == _DONE:
                    yield from self._waited(name)
                    self._end()
                elif self._waiting or (data and not data.startswith(b":")):  # else a comment that a proxy has packed
                    self._wait(data)
            elif self._waiting:
                self._wait(line.strip())
            elif line.startswith(b"event:"):
                name = line[6:].strip()
            elif line.startswith(b"error:"):  # llama.cpp has a field of its own
                self._wait(line[6:].strip())
                yield from self._waited(b"error")
            elif line.strip().upper() == _DONE:
                self._end()
            elif line.startswith((b"{", b"[")):
                try:
                    parsed = large_json.loads(line)
                except orjson.JSONDecodeError:
                    self._plain = True
                    self._wait(line.strip())
                else:
                    yield from self._objects(parsed, name)
        if self._waiting:
            yield from self._waited(name)
        if not self._any and "html" in (self._answer.header("Content-Type") or ""):
            raise ProviderError(
                f"provider {self._provider} sent a web page; is models.providers.{self._provider}.baseUrl its API's?"
            )

    def _wait(self, data: bytes) -> None:
        self._waiting.append(data)
        self._size += len(data)
        if self._size > MAX_DOCUMENT:
            raise ProviderFault(f"provider {self._provider} sent more than {MAX_DOCUMENT} bytes of JSON in one piece")

    def _waited(self, name: bytes) -> Iterator[dict[str, Any]]:
        """What the lines that wait mean together."""
        if not self._waiting:
            return
        data = b"\n".join(self._waiting)
        self._waiting.clear()
        self._size, self._plain = 0, False
        if data.lower() in _SIGNS_OF_LIFE or name.lower() in _SIGNS_OF_LIFE:
            return
        parsed = _loads(data)
        if parsed is _NO_JSON and (name == b"error" or data[:5].lower() == b"error"):
            name = b"error"
            parsed = data.decode(errors="replace")
        yield from self._objects(parsed, name)

    def _objects(self, parsed: Any, name: bytes) -> Iterator[dict[str, Any]]:
        if name.lower() in _SIGNS_OF_LIFE or parsed == "":
            return
        self._any = True
        if name == b"error" and not (isinstance(parsed, dict) and parsed.get("error")):
            yield {"error": parsed}
        elif type(parsed) is dict:
            if name and "type" not in parsed:
                parsed["type"] = name.decode(errors="replace")
            yield parsed
        elif type(parsed) is list and parsed and all(type(each) is dict for each in parsed):
            yield from parsed
        elif isinstance(parsed, str) and parsed.upper() == "[DONE]":
            self._end()
        elif parsed is not None:
            raise ProviderError(f"provider {self._provider} sent a line that is not a JSON object")

    def _end(self) -> None:
        # Read on to the message's end, or the connection can't be used again; but all that matters is here.
        self._answer.hurry(AFTER_DONE_TIMEOUT)


def checked(text: Any) -> str:
    """The text itself. Raises TypeError for anything else."""
    if not isinstance(text, str):
        raise TypeError(f"text expected, found {type(text).__name__}")
    return text


def text_or_none(value: Any) -> str | None:
    return value if isinstance(value, str) else None


def count(tokens: Any) -> int:
    """A number of tokens, which some servers write as ``7.0``; 0 for what is none."""
    if type(tokens) is float and 0 < tokens < MOST_TOKENS and tokens.is_integer():
        return int(tokens)
    return tokens if type(tokens) is int and 0 < tokens < MOST_TOKENS else 0


# What reading an event may raise; the first three for one of an unknown shape.
FAULTS = (AttributeError, KeyError, TypeError, ProviderError)


def fault_of(provider: str, error: Exception) -> ProviderError:
    """What goes to the caller; an answer that is whole already is not lost for it."""
    if isinstance(error, ProviderError):
        return error
    return ProviderError(f"provider {provider} sent an event of an unknown shape")


def _loads(data: bytes) -> Any:
    """JSON with U+FFFD in the place of bad bytes, and of the halves of an emoji that a server cut in two.

    Control characters may stand in its texts as they are. A document that is too large to be mended in one go is read
    as it is.
    """
    if len(data) > MAX_MENDED:
        try:
            return large_json.loads(data)
        except orjson.JSONDecodeError:
            return _NO_JSON
    try:
        text = json.dumps(json.loads(data.decode("utf-8", "replace"), strict=False), ensure_ascii=False)
    except (ValueError, RecursionError):
        return _NO_JSON
    return json.loads(text.encode("utf-16", "surrogatepass").decode("utf-16", "replace"))
