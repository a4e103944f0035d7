"""A run as server-sent events."""

from __future__ import annotations

import time
from collections.abc import Iterator

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

    headers = {**STREAM_HEADERS, **delivery.headers()}
    answer = _Stream(delivery, headers)
    response = Response(answer.blocks(first), headers=headers)

    @response.call_on_close
    def _closed() -> None:
        watch.close()
        delivery.client_gone()
        answer.close()

    return response


class _Stream:
    """A run on its way to a caller as server-sent events."""

    def __init__(self, delivery: Delivery, headers: dict[str, str]) -> None:
        self._delivery = delivery
        self._headers = headers
        include_usage = bool(delivery.chat.get("stream_options", {}).get("include_usage"))
        self._chunks = Chunks(delivery.run, delivery.model, include_usage=include_usage)
        # Everything so far, for an answer that is kept.
        self._sent: list[bytes] = []

    def blocks(self, first: list[Event]) -> Iterator[bytes]:
        """What goes over the wire. Tokens that wait are written together: a stream that lags catches up."""
        run = self._delivery.run
        waiting, block = first, self._chunks.role()
        silence = IdleTimer(SILENCE, run.nudge)
        try:
            while True:
                block += self._rendered(waiting)
                if waiting and isinstance(waiting[-1], Ended):
                    self._keep(waiting[-1], block)
                    yield block
                    return
                if block:
                    if self._delivery.claim is not None:
                        self._sent.append(block)
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

    def close(self) -> None:
        """The caller has all of it, or left. A run that ended well meanwhile is kept for its key all the same."""
        claim = self._delivery.claim
        if claim is None:
            return
        rest = list(self._delivery.run.events_waiting())
        if rest and isinstance(rest[-1], Ended):
            self._keep(rest[-1], self._rendered(rest))
        claim.free()

    def _keep(self, ended: Ended, last: bytes) -> None:
        if ended.error is None:
            self._delivery.keep(b"".join(self._sent) + last, self._headers)

    def _rendered(self, events: list[Event]) -> bytes:
        rendered = []
        for event in events:
            if isinstance(event, TextDelta):
                rendered.append(self._chunks.text(event.text))
            elif isinstance(event, ReasoningDelta):
                if self._delivery.reasoning:
                    rendered.append(self._chunks.reasoning(event.text))
            elif isinstance(event, RefusalDelta):
                rendered.append(self._chunks.refusal(event.text))
            elif isinstance(event, ToolCallDelta):
                rendered.append(self._chunks.tool_call(event))
            elif isinstance(event, Ended):
                rendered.append(self._chunks.end(event))
        return b"".join(rendered)
