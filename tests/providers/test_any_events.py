"""Whatever a provider makes of its format, its reader ends, asks no more often than it may, and loses nothing silently.

The events of a sound answer are cut, repeated, put in another order and mixed with others, for each wire format.
"""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from app.config.settings import Model
from app.errors import ProviderError
from app.providers.anthropic_messages import AnthropicMessages
from app.providers.failover import Candidate, Standing, stream_with_failover
from app.providers.openai_completions import OpenAICompletions
from app.providers.openai_responses import OpenAIResponses
from app.providers.stream import Began, Completed, Delta, ModelCall, Provider, TextDelta, ToolCallDelta
from tests.scripted import ToolCall, Usage
from tests.scripted.renderings import RENDERINGS, encoded

MODEL = Model(id="m", name="m")
FORMATS: dict[str, Callable[[Any], Provider]] = {
    "/v1/chat/completions": OpenAICompletions,
    "/v1/messages": lambda upstream: AnthropicMessages(upstream, MODEL),
    "/v1/responses": lambda upstream: OpenAIResponses(upstream, MODEL),
}
# Each token, name and argument stands in the answer once, so that what is lost can be told.
TOKENS = ("alpha ", "beta ", "gamma ")
CALLS = (ToolCall("call_1", "weather", '{"city":', '"Oslo"}'), ToolCall("call_2", "clock", '{"tz":"utc"}'))

FOREIGN = (
    b": a comment\n\n",
    b"event: ping\ndata: {}\n\n",
    b'event: ping\ndata: {"type": "ping"}\n\n',
    b"data: null\n\n",
    b"data: [DONE]\n\n",
    b'data: {"type": "something.new", "value": [1]}\n\n',
    b'data: {"object": "chat.completion.chunk", "choices": []}\n\n',
    b'data: {"choices": [{"index": 0, "delta": {"tool_calls": [{"index": 9, "function": {"arguments": ""}}]}}]}\n\n',
    b'data: {"type": "content_block_stop", "index": 7}\n\n',
    b'data: {"type": "response.output_item.done", "output_index": 9, "item": {"type": "web_search_call"}}\n\n',
    b"id: 7\nretry: 10\n\n",
    b"\n",
)


class Answers:
    """An upstream, and each of its answers: always these bytes."""

    provider = "p"
    secrets = ()
    path = "/v1"
    status = 200

    def __init__(self, data: bytes) -> None:
        self.asked = 0
        self.refused: set[str] = set()
        self._data = data

    def post(self, path: str, body: bytes) -> Answers:
        self.asked += 1
        return self

    def lines(self) -> Iterator[list[bytes]]:
        return iter([self._data.split(b"\n")])

    def header(self, name: str) -> None:
        return None

    def hurry(self, seconds: float) -> None: ...

    def close(self) -> None: ...


def answer_in(path: str, *, calls: bool) -> list[bytes]:
    """A sound answer, event by event."""
    rendering = RENDERINGS[path]({}, Usage(7, 2), "own")
    parts = [
        rendering.opening(),
        *map(rendering.text, TOKENS),
        *map(rendering.call, CALLS if calls else ()),
        rendering.finish("tool_calls" if calls else "stop"),
        rendering.closing(),
    ]
    # Each is written as it comes: some are changed by what follows them.
    return [encoded(event) for part in parts for event in part] + [rendering.last]


@st.composite
def any_events(draw: st.DrawFn, path: str) -> list[bytes]:
    events = answer_in(path, calls=draw(st.booleans()))
    if draw(st.booleans()):
        events = events[: draw(st.integers(0, len(events)))]
    for _ in range(draw(st.integers(0, 3))):
        place = draw(st.integers(0, len(events)))
        kind = draw(st.sampled_from(["repeat", "move", "drop", "foreign"]))
        if kind == "foreign":
            events.insert(place, draw(st.sampled_from(FOREIGN)))
        elif events:
            chosen = draw(st.integers(0, len(events) - 1))
            event = events[chosen] if kind == "repeat" else events.pop(chosen)
            if kind != "drop":
                events.insert(min(place, len(events)), event)
    return events


def read(path: str, events: list[bytes]) -> tuple[list[Delta], ProviderError | None, int]:
    """What comes out, what went wrong, and how often it was asked. There is no time to try again."""
    answers = Answers(b"".join(events))
    call = ModelCall("", [{"role": "user", "content": "hi"}], time.monotonic())
    found: list[Delta] = []
    try:
        found += stream_with_failover([Candidate("p/m", FORMATS[path](answers))], call, Standing())
    except ProviderError as error:
        return found, error, answers.asked
    return found, None, answers.asked


@pytest.mark.parametrize("path", FORMATS)
@settings(max_examples=300, deadline=None)
@given(data=st.data())
def test_any_events_come_to_an_end(path: str, data: st.DataObject) -> None:
    """One answer is one answer or one error: it begins once, is whole once, and is asked for once."""
    events = data.draw(any_events(path))
    found, error, asked = read(path, events)
    assert asked == 1
    assert sum(isinstance(delta, Began) for delta in found) <= 1
    assert [isinstance(delta, Completed) for delta in found].count(True) == (error is None)
    if error is None:
        assert isinstance(found[-1], Completed)


@pytest.mark.parametrize("path", FORMATS)
@settings(max_examples=300, deadline=None)
@given(data=st.data())
def test_nothing_that_was_said_is_lost_silently(path: str, data: st.DataObject) -> None:
    """Each token that was sent comes out, and so does each call that was named, or an error tells."""
    events = data.draw(any_events(path))
    found, error, _ = read(path, events)
    if error is not None:
        return
    text = "".join(delta.text for delta in found if isinstance(delta, TextDelta))
    sent = b"".join(events).decode()
    assert [token for token in TOKENS if token in sent and token not in text] == []
    named = Counter(delta.name for delta in found if isinstance(delta, ToolCallDelta) and delta.name)
    assert [call.name for call in CALLS if f'"{call.name}"' in sent and not named[call.name]] == []


@pytest.mark.parametrize("path", FORMATS)
@pytest.mark.parametrize("calls", [False, True])
def test_a_sound_answer_is_read_as_it_is(path: str, calls: bool) -> None:
    """What the others begin from: text, calls and their arguments."""
    found, error, _ = read(path, answer_in(path, calls=calls))
    assert error is None
    assert "".join(delta.text for delta in found if isinstance(delta, TextDelta)) == "".join(TOKENS)
    arguments = "".join(delta.arguments for delta in found if isinstance(delta, ToolCallDelta))
    assert arguments == ("".join(call.arguments for call in CALLS) if calls else "")
    assert found[-1].finish_reason == ("tool_calls" if calls else "stop")  # type: ignore[union-attr]


@pytest.mark.parametrize("path", FORMATS)
@settings(max_examples=200, deadline=None)
@given(data=st.data())
def test_a_stream_may_be_cut_between_any_bytes(path: str, data: st.DataObject) -> None:
    """Half an event at the end is an error, or the text before it is there; never another text."""
    whole = b"".join(answer_in(path, calls=data.draw(st.booleans())))
    found, error, _ = read(path, [whole[: data.draw(st.integers(0, len(whole)))]])
    text = "".join(delta.text for delta in found if isinstance(delta, TextDelta))
    assert "".join(TOKENS).startswith(text)
    if error is None:
        assert isinstance(found[-1], Completed)
