"""A run as server-sent events."""

from __future__ import annotations

import time
from collections.abc import Iterator
from functools import partial

from flask import Response

from app.agents.events import Ended, Event, ReasoningDelta, RefusalDelta, TextDelta, ToolCallDelta
from app.idle import IdleTimer
from app.openai_api.completions import KEEP_ALIVE, Chunks
from app.openai_api.delivery import Delivery

# Seconds without anything to send until a comment shows that the stream is alive.
SILENCE = 15.0
# Seconds that headers and role chunk wait for the provider, so that an early failure is a plain HTTP error.
HEADERS_WITHIN = 1.0

STREAM_HEADERS = {
    "Content-Type": "text/event-stream",
    "Cache-Control": "no-cache, no-transform",
    "X-Accel-Buffering": "no",
}


def stream(delivery: Delivery) -> Response:
    """Wait until the run has begun, at most a second, then answer. An error before that is raised."""
    run = delivery.run
    answer = _Stream(delivery)
    run.spawn()
    watch = delivery.watch()
    first: list[Event] = []
    deadline = time.monotonic() + HEADERS_WITHIN
    try:
        while not first and (left := deadline - time.monotonic()) > 0:
            if (event := run.next_event(left)) is not None:
                first.append(event)
    except BaseException:
        watch.close()
        raise
    if first and isinstance(first[0], Ended) and first[0].error is not None:
        watch.close()
        raise delivery.told(first[0].error)

    response = Response(answer.blocks(first), headers={**STREAM_HEADERS, **delivery.headers()})

    @response.call_on_close
    def _closed() -> None:
        watch.close()
        delivery.client_gone()

    return response


class _Stream:
    """A run on its way to a caller as server-sent events."""

    def __init__(self, delivery: Delivery) -> None:
        self._delivery = delivery
        include_usage = bool(delivery.chat.get("stream_options", {}).get("include_usage"))
        chunks = Chunks(delivery.run, delivery.model, include_usage=include_usage)
        self._role = chunks.role()
        self._rendered = render = partial(_rendered, chunks, delivery.reasoning)
        if delivery.claim is not None:
            told = [self._role]
            # Rendered a second time as it happens: the run may end, and be kept, before its caller has all of it.
            delivery.run.listen(lambda event: told.append(render([event])))
            delivery.keep(lambda ended: b"".join((*told, chunks.end(ended))), STREAM_HEADERS)

    def blocks(self, first: list[Event]) -> Iterator[bytes]:
        """What goes over the wire. Tokens that wait are written together: a stream that lags catches up."""
        run = self._delivery.run
        waiting, block = first, self._role
        silence = IdleTimer(SILENCE, run.nudge)
        try:
            while True:
                block += self._rendered(waiting)
                if waiting and isinstance(waiting[-1], Ended):
                    yield block
                    return
                if block:
                    yield block
                    silence.touch()
                following = run.next_event()
                if following is not None:
                    waiting, block = [following, *run.events_waiting()], b""
                else:
                    waiting, block = [], KEEP_ALIVE
                    silence.restart(SILENCE)
        finally:
            silence.stop()


def _rendered(chunks: Chunks, reasoning: bool, events: list[Event]) -> bytes:
    rendered = []
    for event in events:
        if isinstance(event, TextDelta):
            rendered.append(chunks.text(event.text))
        elif isinstance(event, ReasoningDelta):
            if reasoning:
                rendered.append(chunks.reasoning(event.text))
        elif isinstance(event, RefusalDelta):
            rendered.append(chunks.refusal(event.text))
        elif isinstance(event, ToolCallDelta):
            rendered.append(chunks.tool_call(event))
        elif isinstance(event, Ended):
            rendered.append(chunks.end(event))
    return b"".join(rendered)
