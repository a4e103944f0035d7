"""``anthropic-messages``: any server that speaks the Anthropic Messages API, always streamed.

Wire format: https://platform.claude.com/docs/en/build-with-claude/streaming
"""

from __future__ import annotations

import logging
from collections.abc import Iterator
from typing import Any

import orjson

from app.config.settings import Model, Provider
from app.providers import sse
from app.providers.anthropic_conversation import API
from app.providers.anthropic_request import payload
from app.providers.error_bodies import error_in
from app.providers.faults import raise_for_status, stream_fault
from app.providers.finish_reasons import STOP, TOOL_CALLS, finish_reason
from app.providers.request_fields import taken
from app.providers.sse import checked, count
from app.providers.state import Keeper
from app.providers.stream import Began, Completed, Delta, ModelCall, ReasoningDelta, TextDelta, Usage
from app.providers.tool_calls import ToolCalls, ended_in_order
from app.providers.upstream import Answer, Upstream

log = logging.getLogger("gateway.providers")

VERSION = "2023-06-01"
# How tokens begin that are sent as such, and not as keys.
OAUTH = "sk-ant-oat"

_FIELDS = taken(API, openai=False)
_EVENTS = frozenset({"content_block_start", "content_block_delta", "content_block_stop", "message_start"})
_EVENTS |= {"message", "message_delta", "message_stop", "ping"}
# What a block was that never began, by its first delta. Arguments without a tool's name are nobody's.
_KINDS = {"text_delta": "text", "thinking_delta": "thinking", "signature_delta": "thinking"}


def headers(provider: Provider) -> dict[str, str]:
    """What each request carries. A header of the configuration wins; one of its own for the key replaces the key."""
    sent = {"anthropic-version": VERSION}
    if provider.api_key and (provider.auth_header or provider.api_key.startswith(OAUTH)):
        sent["Authorization"] = f"Bearer {provider.api_key}"
    elif provider.api_key:
        sent["x-api-key"] = provider.api_key
    own = {name.lower() for name in provider.headers}
    if "authorization" in own:
        sent.pop("x-api-key", None)
        sent.pop("Authorization", None)
    return {name: value for name, value in sent.items() if name not in own} | dict(provider.headers)


class AnthropicMessages:
    """One model of one provider. The provider's URL may end in ``/v1`` or before it.

    fields: names of the caller's fields that it is sent.
    """

    def __init__(self, upstream: Upstream, model: Model, fields: frozenset[str] = _FIELDS) -> None:
        self._upstream = upstream
        self._model = model
        self._fields = fields
        self._path = "/messages" if upstream.path.endswith("/v1") else "/v1/messages"

    def stream(self, call: ModelCall) -> Iterator[Delta]:
        provider, secrets = self._upstream.provider, self._upstream.secrets
        reference = f"{provider}/{call.model}"
        answer = self._upstream.post(self._path, orjson.dumps(payload(call, self._model, reference, self._fields)))
        try:
            raise_for_status(provider, answer, secrets)
            yield from _Reader(self._upstream, answer, reference).deltas()
        finally:
            answer.close()


class _Reader:
    """Reads one answer. ``blocks``: those that are open, by the index that the server gave them."""

    def __init__(self, upstream: Upstream, answer: Answer, reference: str) -> None:
        self._provider = upstream.provider
        self._secrets = upstream.secrets
        self._answer = answer
        self._events = sse.Events(self._provider, answer)
        self._kept = Keeper(API, reference)
        self._blocks: dict[Any, _Block] = {}
        # Tools by the index of their block: their places among all blocks.
        self._tools: dict[Any, int] = {}
        self._begun = 0
        self._calls = ToolCalls(self._provider)
        self._said = False
        self._usage: dict[str, Any] = {}
        self._finish: str | None = None

    def deltas(self) -> Iterator[Delta]:
        began = False
        try:
            for event in self._events:
                kind = event.get("type")
                if kind not in _EVENTS and (error := error_in(event)) is not None:
                    raise stream_fault(self._provider, error, self._secrets)
                if not began:
                    began = True
                    yield Began()
                yield from self._read(kind, event)
        except sse.FAULTS as error:
            if self._finish is None:
                raise sse.fault_of(self._provider, error) from error
            log.info("provider %s did not close its stream after the stop reason: %s", self._provider, error)
        for place in tuple(self._blocks):
            self._stop(place)
        if self._finish is None:
            self._finish = ended_in_order(self._provider, began, self._said, self._calls)
        if self._finish == STOP and self._calls:
            self._finish = TOOL_CALLS
        if self._finish == TOOL_CALLS:
            yield from self._calls.told(said=self._said)
        yield Completed(self._finish, self._tokens(), self._kept.state())

    def _read(self, kind: Any, event: dict[str, Any]) -> Iterator[Delta]:
        if kind == "content_block_delta":
            yield from self._delta(event.get("index", 0), event.get("delta") or {})
        elif kind == "content_block_start":
            yield from self._start(event.get("index", 0), event.get("content_block") or {})
        elif kind == "content_block_stop":
            self._stop(event.get("index", 0))
        elif kind == "message_start":
            self._count((event.get("message") or {}).get("usage"))
        elif kind == "message_delta":
            self._count(event.get("usage"))
            self._end((event.get("delta") or {}).get("stop_reason"))
        elif kind == "message_stop":
            self._answer.hurry(sse.AFTER_DONE_TIMEOUT)
        elif kind == "message":  # not a stream
            for place, block in enumerate(event.get("content") or ()):
                yield from self._start(place, block or {})
                self._stop(place)
            self._count(event.get("usage"))
            self._end(event.get("stop_reason"))

    def _end(self, reason: Any) -> None:
        if reason:
            self._finish = finish_reason(self._provider, reason)
            self._answer.hurry(sse.AFTER_FINISH_TIMEOUT)

    def _start(self, place: Any, given: dict[str, Any]) -> Iterator[Delta]:
        open_block, kind = self._blocks.get(place), given.get("type")
        if open_block is not None and kind == "tool_use" and open_block.is_begun_as(given.get("id")):
            return  # told twice
        self._stop(place)  # of a server that never does
        block = self._blocks[place] = self._block(kind)
        if block.kind == "tool_use":
            self._calls.add(block.place, given.get("id"), given.get("name"), begins=True)
            # Some servers send a call whole, right here; others do, and then in pieces once more.
            block.id, block.input = given.get("id"), given.get("input")
            if not isinstance(block.input, dict | None):
                raise TypeError("the input of a tool is an object")
            self._tools[place] = block.place
        elif block.kind == "redacted_thinking":
            block.sign(self._kept, checked(given.get("data") or ""))
        elif block.kind == "thinking":
            block.sign(self._kept, checked(given.get("signature") or ""))
            if text := given.get("thinking"):
                yield from self._delta(place, {"type": "thinking_delta", "thinking": text})
        elif block.kind == "text" and (text := given.get("text")):
            yield from self._delta(place, {"type": "text_delta", "text": text})

    def _delta(self, place: Any, delta: dict[str, Any]) -> Iterator[Delta]:
        kind: Any = delta.get("type")
        block = self._blocks.get(place)
        if block is None:
            # Of a block that never began, or has ended: what it says counts all the same.
            block = self._blocks[place] = self._block(_KINDS.get(kind, "unknown"))
        if kind == "text_delta":
            if text := checked(delta.get("text") or ""):
                self._said = True
                block.length += len(text)
                yield TextDelta(text)
        elif kind == "thinking_delta":
            block.sign(self._kept, checked(delta.get("signature") or ""))
            if text := checked(delta.get("thinking") or ""):
                if self._kept.grow(len(text)):
                    block.thinking.append(text)
                yield ReasoningDelta(text)
        elif kind == "signature_delta":
            block.sign(self._kept, checked(delta.get("signature") or ""))
        elif kind == "input_json_delta" and (block.kind == "tool_use" or place in self._tools):
            # Behind its end, too, they are the call's.
            arguments = checked(delta.get("partial_json") or "")
            self._calls.add(self._tools.get(place, block.place), arguments=arguments)
            block.length += len(arguments)

    def _block(self, kind: Any) -> _Block:
        self._begun += 1
        return _Block(kind, self._begun)

    def _stop(self, place: Any) -> None:
        block = self._blocks.pop(place, None)
        if block is None:
            return
        if block.kind == "text":
            self._kept.text(block.length)
        elif block.kind == "tool_use":
            self._kept.call()
            if not block.length and block.input:
                self._calls.add(block.place, arguments=block.input)
        elif block.signature:
            if block.kind == "thinking":
                thinking = "".join(block.thinking)
                self._kept.keep({"type": "thinking", "thinking": thinking, "signature": "".join(block.signature)})
            elif block.kind == "redacted_thinking":
                self._kept.keep({"type": "redacted_thinking", "data": "".join(block.signature)})

    def _count(self, reported: Any) -> None:
        """Counts are cumulative: what comes later holds."""
        if isinstance(reported, dict):
            self._usage.update({name: tokens for name, tokens in reported.items() if tokens is not None})

    def _tokens(self) -> Usage:
        cached = count(self._usage.get("cache_read_input_tokens"))
        written = self._usage.get("cache_creation_input_tokens")
        prompt = count(self._usage.get("input_tokens")) + cached + count(written)
        made = self._usage.get("output_tokens_details")
        thinking = made.get("thinking_tokens", made.get("reasoning_tokens")) if isinstance(made, dict) else None
        return Usage(
            prompt,
            count(self._usage.get("output_tokens")),
            cached,
            None if written is None else count(written),
            {} if thinking is None else {"reasoning_tokens": count(thinking)},
        )


class _Block:
    """A part of the answer that is being written.

    place: of a tool call among all blocks; servers use an index again. length: characters so far. input: of a call that
    came whole. signature, in pieces: what proves a thought's origin, or holds one that is not shown.
    """

    def __init__(self, kind: Any, place: int) -> None:
        self.kind = kind
        self.place = place
        self.length = 0
        self.id: Any = None
        self.input: Any = None
        self.thinking: list[str] = []
        self.signature: list[str] = []

    def is_begun_as(self, id: Any) -> bool:
        """Whether it is a call of this id that has no arguments yet."""
        return self.kind == "tool_use" and bool(id) and self.id == id and not self.length

    def sign(self, kept: Keeper, part: str) -> None:
        if part and kept.grow(len(part)):
            self.signature.append(part)
