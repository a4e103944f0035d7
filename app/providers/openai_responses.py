"""``openai-responses``: servers that speak the OpenAI Responses API, always streamed and never storing.

Wire format: https://platform.openai.com/docs/api-reference/responses-streaming
"""

from __future__ import annotations

import logging
from collections.abc import Iterator, Sequence
from typing import Any

import orjson

from app.config.settings import Model
from app.errors import ProviderError
from app.providers import sse
from app.providers.faults import raise_for_status, stream_fault
from app.providers.responses_request import API, payload
from app.providers.sse import checked, count
from app.providers.state import Keeper
from app.providers.stream import Began, Completed, Delta, ModelCall, ReasoningDelta, TextDelta, ToolCallDelta, Usage
from app.providers.upstream import Answer, Upstream

log = logging.getLogger("gateway.providers")

_TEXT = frozenset({"response.output_text.delta", "response.refusal.delta"})
_REASONING = frozenset({"response.reasoning_summary_text.delta", "response.reasoning_text.delta"})


class OpenAIResponses:
    """One model of one provider."""

    def __init__(self, upstream: Upstream, model: Model) -> None:
        self._upstream = upstream
        self._model = model

    def stream(self, call: ModelCall) -> Iterator[Delta]:
        provider, secrets = self._upstream.provider, self._upstream.secrets
        answer = self._upstream.post("/responses", orjson.dumps(payload(call, self._model)))
        try:
            raise_for_status(provider, answer, secrets)
            yield from _Reader(provider, answer, secrets, call.model).deltas()
        finally:
            answer.close()


class _Reader:
    """Reads one answer. ``calls``: by their place in the output."""

    def __init__(self, provider: str, answer: Answer, secrets: Sequence[str], model: str) -> None:
        self._provider = provider
        self._answer = answer
        self._secrets = secrets
        self._kept = Keeper(API, model)
        self._calls: dict[Any, _Call] = {}
        self._finish: str | None = None
        self._usage = Usage()

    def deltas(self) -> Iterator[Delta]:
        began = False
        try:
            for event in sse.events(self._provider, self._answer):
                kind = event.get("type")
                if kind == "error":
                    raise stream_fault(self._provider, event.get("error") or event, self._secrets)
                if kind == "response.failed":
                    raise stream_fault(self._provider, event["response"].get("error"), self._secrets)
                if not began:
                    began = True
                    yield Began()
                if kind in _TEXT:
                    yield TextDelta(checked(event["delta"]))
                elif kind in _REASONING:
                    yield ReasoningDelta(checked(event["delta"]))
                elif kind == "response.function_call_arguments.delta":
                    yield self._calls[event["output_index"]].more(checked(event["delta"]))
                elif kind == "response.output_item.added":
                    yield from self._added(event["output_index"], event["item"])
                elif kind == "response.output_item.done":
                    yield from self._done(event["output_index"], event["item"])
                elif kind == "response.reasoning_summary_part.added" and event["summary_index"]:
                    yield ReasoningDelta("\n\n")
                elif kind in ("response.completed", "response.incomplete"):
                    self._close(event["response"])
        except (AttributeError, KeyError, TypeError) as error:
            raise sse.unknown_shape(self._provider) from error
        except ProviderError as error:
            if self._finish is None:
                raise
            log.info("provider %s did not close its stream after its answer: %s", self._provider, error)
        if self._finish is None:
            raise sse.unfinished(self._provider, began)
        yield Completed(self._finish, self._usage, self._kept.state())

    def _added(self, place: Any, item: dict[str, Any]) -> Iterator[Delta]:
        if item["type"] == "function_call" and place not in self._calls:
            self._calls[place] = _Call(len(self._calls))
            yield ToolCallDelta(len(self._calls) - 1, checked(item["call_id"]), checked(item["name"]))

    def _done(self, place: Any, item: dict[str, Any]) -> Iterator[Delta]:
        if item["type"] == "function_call":
            yield from self._added(place, item)
            call = self._calls[place]
            if not call.length:
                yield call.more(checked(item.get("arguments") or "{}"))
            self._kept.call()
        elif item["type"] == "message":
            said = (part.get("text") or part.get("refusal") or "" for part in item.get("content") or ())
            phase = item.get("phase")
            self._kept.text(sum(map(len, said)), **({"phase": phase} if phase else {}))
        elif item["type"] == "reasoning" and (thoughts := item.get("encrypted_content")):
            # Without them the item is only a name of something that is not stored.
            kept = {"id": item["id"], "summary": item.get("summary") or [], "encrypted_content": checked(thoughts)}
            if self._kept.grow(len(orjson.dumps(kept))):
                self._kept.keep({"type": "reasoning", **kept})

    def _close(self, response: dict[str, Any]) -> None:
        self._answer.hurry(sse.AFTER_DONE_TIMEOUT)
        usage = response.get("usage") or {}
        details = usage.get("input_tokens_details") or {}
        self._usage = Usage(
            count(usage.get("input_tokens")), count(usage.get("output_tokens")), count(details.get("cached_tokens"))
        )
        if response.get("status") == "incomplete":
            reason = (response.get("incomplete_details") or {}).get("reason")
            self._finish = "content_filter" if reason == "content_filter" else "length"
        else:
            self._finish = "tool_calls" if self._calls else "stop"


class _Call:
    """A tool call that is being written. index: ours. length: characters of its arguments so far."""

    def __init__(self, index: int) -> None:
        self.index = index
        self.length = 0

    def more(self, arguments: str) -> ToolCallDelta:
        self.length += len(arguments)
        return ToolCallDelta(self.index, arguments=arguments)
