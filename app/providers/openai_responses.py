"""``openai-responses``: servers that speak the OpenAI Responses API, always asked for a stream and never to store.

Wire format: https://platform.openai.com/docs/api-reference/responses-streaming. Read liberally: compatible servers
leave events out, so that a text or a call may stand in its last event only, or in the whole response at the end.
"""

from __future__ import annotations

import logging
import re
from collections.abc import Iterator
from typing import Any

import orjson

from app.config.settings import Model
from app.errors import ProviderError
from app.providers import sse
from app.providers.error_bodies import error_in
from app.providers.faults import raise_for_status, stream_fault
from app.providers.finish_reasons import CONTENT_FILTER, LENGTH, STOP, TOOL_CALLS
from app.providers.request_fields import taken
from app.providers.responses_request import API, payload
from app.providers.sse import checked, count, text_or_none
from app.providers.state import Keeper
from app.providers.stream import (
    Began,
    Completed,
    Delta,
    ModelCall,
    ReasoningDelta,
    RefusalDelta,
    TextDelta,
    Usage,
)
from app.providers.tool_calls import ToolCalls, ended_in_order
from app.providers.upstream import Answer, Upstream

log = logging.getLogger("gateway.providers")

_WORD = re.compile(r"\w+")

Said = TextDelta | RefusalDelta | ReasoningDelta

_DELTAS: dict[Any, type[Said]] = {
    "response.output_text.delta": TextDelta,
    "response.refusal.delta": RefusalDelta,
    "response.reasoning_summary_text.delta": ReasoningDelta,
    "response.reasoning_text.delta": ReasoningDelta,
    "response.reasoning.delta": ReasoningDelta,
}
# Events that bring a text once more, whole, and its name there.
_DONE: dict[Any, tuple[type[Said], str]] = {
    "response.output_text.done": (TextDelta, "text"),
    "response.refusal.done": (RefusalDelta, "refusal"),
    "response.reasoning_summary_text.done": (ReasoningDelta, "text"),
    "response.reasoning_text.done": (ReasoningDelta, "text"),
}
_ENDS = frozenset({"response.completed", "response.incomplete", "response.done"})
_FIELDS = taken(API, openai=False)


class OpenAIResponses:
    """One model of one provider.

    fields: names of the caller's fields that it is sent. by_key: it takes a ``prompt_cache_key``.
    """

    def __init__(
        self, upstream: Upstream, model: Model, fields: frozenset[str] = _FIELDS, *, by_key: bool = False
    ) -> None:
        self._upstream = upstream
        self._model = model
        self._fields = fields
        self._by_key = by_key

    def stream(self, call: ModelCall) -> Iterator[Delta]:
        provider, secrets = self._upstream.provider, self._upstream.secrets
        reference = f"{provider}/{call.model}"
        body = payload(call, self._model, reference, self._fields, by_key=self._by_key)
        answer = self._upstream.post("/responses", orjson.dumps(body))
        try:
            raise_for_status(provider, answer, secrets)
            yield from _Reader(self._upstream, answer, reference).deltas()
        finally:
            answer.close()


class _Reader:
    """Reads one answer. Items of its output go by their place, or by their id where a server gives no place."""

    def __init__(self, upstream: Upstream, answer: Answer, reference: str) -> None:
        self._provider = upstream.provider
        self._secrets = upstream.secrets
        self._answer = answer
        self._events = sse.Events(self._provider, answer)
        self._kept = Keeper(API, reference)
        # By item and part; and all that was said of each kind.
        self._parts: dict[Any, list[str]] = {}
        self._said: dict[type[Said], list[str]] = {TextDelta: [], RefusalDelta: [], ReasoningDelta: []}
        self._calls = ToolCalls(self._provider)
        # Items that are whole, by place and by id.
        self._done: set[Any] = set()
        self._finish: str | None = None
        self._response: dict[str, Any] = {}

    def deltas(self) -> Iterator[Delta]:
        began = False
        try:
            for event in self._events:
                kind = event.get("type")
                if kind == "error" or not isinstance(kind, str) or not kind.startswith("response."):
                    if (error := error_in(event)) is not None:
                        raise stream_fault(self._provider, error, self._secrets)
                    if event.get("object") == "response":  # not a stream
                        kind, event = "response.completed", {"response": event}  # noqa: PLW2901
                if not began:
                    began = True
                    yield Began()
                yield from self._read(kind, event)
        except sse.FAULTS as error:
            if self._finish is None:
                raise sse.fault_of(self._provider, error) from error
            log.info("provider %s did not close its stream after its answer: %s", self._provider, error)
        said = bool(self._said[TextDelta] or self._said[RefusalDelta])
        if self._finish is None:
            self._finish = ended_in_order(self._provider, began, said, self._calls)
        if self._finish == STOP and self._calls:
            self._finish = TOOL_CALLS
        if self._finish == TOOL_CALLS:
            yield from self._calls.told(said=said)
        tier = text_or_none(self._response.get("service_tier"))
        yield Completed(self._finish, _usage(self._response.get("usage")), self._kept.state(), tier)

    def _read(self, kind: Any, event: dict[str, Any]) -> Iterator[Delta]:
        if (saying := _DELTAS.get(kind)) is not None:
            yield from self._say(saying, _part(event), checked(event.get("delta") or ""))
        elif kind in _DONE:
            saying, name = _DONE[kind]
            yield from self._rest(saying, _part(event), checked(event.get(name) or ""))
        elif kind == "response.function_call_arguments.delta":
            self._calls.add(_place(event), arguments=event.get("delta"))
        elif kind == "response.function_call_arguments.done":
            self._calls.settle(_place(event), name=event.get("name"), arguments=event.get("arguments"))
        elif kind == "response.output_item.added":
            if (item := event.get("item") or {}).get("type") == "function_call":
                self._calls.add(_place(event), _call_id(item), item.get("name"), item.get("arguments"))
        elif kind == "response.output_item.done":
            yield from self._item(_place(event), event.get("item") or {})
        elif kind == "response.reasoning_summary_part.added" and event.get("summary_index"):
            yield ReasoningDelta("\n\n")
        elif kind in ("response.failed", "response.cancelled", "response.error"):
            raise stream_fault(self._provider, (event.get("response") or event).get("error") or event, self._secrets)
        elif kind in _ENDS:
            # Some servers don't put the response into a member of its own.
            yield from self._close(event.get("response") or event)

    def _say(self, saying: type[Said], part: Any, text: str) -> Iterator[Delta]:
        if text:
            self._parts.setdefault((saying, part), []).append(text)
            self._said[saying].append(text)
            yield saying(text)

    def _rest(self, saying: type[Said], part: Any, text: str) -> Iterator[Delta]:
        """What of a whole text was not said yet."""
        heard = "".join(self._parts.get((saying, part), ()))
        if heard and text.startswith(heard):
            yield from self._say(saying, part, text.removeprefix(heard))
        elif heard:
            # Some servers trim it; but words that nobody heard can't be put in their place any more.
            if set(_WORD.findall(text)) - set(_WORD.findall(heard)):
                raise ProviderError(f"provider {self._provider} left out a part of its answer's text")
        elif not any("".join(parts) == text for (kind, _), parts in self._parts.items() if kind is saying):
            # In no part yet, under whatever name the server knows it elsewhere.
            yield from self._say(saying, part, text)

    def _item(self, place: Any, item: dict[str, Any]) -> Iterator[Delta]:
        """An item that is whole."""
        # Some servers give one place to a text and a call.
        name = item.get("id") or place
        kind = item.get("type")
        names = {(kind, name)} if name is not None else set()
        if names & self._done:
            return
        self._done |= names
        if kind == "function_call":
            self._calls.settle(place, _call_id(item), item.get("name"), item.get("arguments"))
            self._kept.call()
        elif kind == "message":
            length = 0
            for number, part in enumerate(item.get("content") or ()):
                if not part:
                    continue
                saying, text = (RefusalDelta, part["refusal"]) if part.get("refusal") else (TextDelta, part.get("text"))
                length += len(text or "")
                yield from self._rest(saying, (place, number), checked(text or ""))
            phase = item.get("phase")
            self._kept.text(length, **({"phase": phase} if phase else {}))
        elif kind == "reasoning":
            yield from self._reasoning(place, item)

    def _reasoning(self, place: Any, item: dict[str, Any]) -> Iterator[Delta]:
        texts = [part.get("text") for part in (*(item.get("summary") or ()), *(item.get("content") or ()))]
        if not self._said[ReasoningDelta]:
            yield from self._rest(ReasoningDelta, (place, 0), "\n\n".join(checked(text) for text in texts if text))
        if (thoughts := item.get("encrypted_content")) and (id := item.get("id")):
            # Without them the item is only a name of something that is not stored.
            kept = {"id": checked(id), "summary": item.get("summary") or [], "encrypted_content": checked(thoughts)}
            if self._kept.grow(len(orjson.dumps(kept))):
                self._kept.keep({"type": "reasoning", **kept})

    def _close(self, response: dict[str, Any]) -> Iterator[Delta]:
        if response.get("error") or response.get("status") in ("failed", "cancelled"):
            raise stream_fault(self._provider, response.get("error"), self._secrets)
        self._answer.hurry(sse.AFTER_DONE_TIMEOUT)
        output = [item for item in response.get("output") or () if item]
        calls = [item for item in output if item.get("type") == "function_call"]
        for place, item in enumerate(output):
            # Some servers name their calls anew here: those that the events told are all of them.
            if item.get("type") != "function_call" or len(calls) > len(self._calls):
                yield from self._item(place, item)
            else:
                self._calls.fill(calls.index(item), _call_id(item), item.get("arguments"))
        self._response = response
        reason = (response.get("incomplete_details") or {}).get("reason")
        if response.get("status") == "incomplete" or reason:
            self._finish = CONTENT_FILTER if reason == CONTENT_FILTER else LENGTH
        else:
            self._finish = STOP


def _place(event: dict[str, Any]) -> Any:
    """Where an event's item stands in the output."""
    place = event.get("output_index")
    if place is None:
        place = event.get("item_id") or (event.get("item") or {}).get("id")
    return place


def _call_id(item: dict[str, Any]) -> Any:
    return item.get("call_id") or item.get("id")


def _part(event: dict[str, Any]) -> Any:
    return _place(event), event.get("content_index", event.get("summary_index", 0))


def _usage(reported: Any) -> Usage:
    usage = reported if isinstance(reported, dict) else {}
    read, made = (usage.get(f"{kind}_tokens_details") for kind in ("input", "output"))
    read = read if isinstance(read, dict) else {}
    made = made if isinstance(made, dict) else {}
    details = {name: count(tokens) for name, tokens in made.items() if type(tokens) is int}
    written = read.get("cache_write_tokens")
    return Usage(
        count(usage.get("input_tokens", usage.get("prompt_tokens"))),
        count(usage.get("output_tokens", usage.get("completion_tokens"))),
        count(read.get("cached_tokens")),
        None if written is None else count(written),
        details,
    )
