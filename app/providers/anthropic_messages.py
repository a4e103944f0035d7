"""``anthropic-messages``: any server that speaks the Anthropic Messages API, always streamed.

Wire format: https://platform.claude.com/docs/en/build-with-claude/streaming
"""

from __future__ import annotations

import logging
from collections.abc import Iterator, Sequence
from typing import Any

import orjson

from app.config.settings import Model, Provider
from app.errors import ProviderError
from app.providers import sse
from app.providers.anthropic_conversation import API
from app.providers.anthropic_request import payload
from app.providers.faults import raise_for_status, stream_fault
from app.providers.sse import checked, count
from app.providers.state import Keeper
from app.providers.stream import Began, Completed, Delta, ModelCall, ReasoningDelta, TextDelta, ToolCallDelta, Usage
from app.providers.upstream import Answer, Upstream

log = logging.getLogger("gateway.providers")

VERSION = "2023-06-01"

# https://platform.claude.com/docs/en/build-with-claude/handling-stop-reasons
_FINISH_REASONS = {
    "max_tokens": "length",
    "model_context_window_exceeded": "length",
    "tool_use": "tool_calls",
    "refusal": "content_filter",
}


def headers(provider: Provider) -> dict[str, str]:
    """What each request carries. A header of the configuration wins; one of its own for the key replaces the key."""
    sent = {"anthropic-version": VERSION}
    if provider.api_key:
        sent["x-api-key"] = provider.api_key
    own = {name.lower() for name in provider.headers}
    if "authorization" in own:
        sent.pop("x-api-key", None)
    return {name: value for name, value in sent.items() if name not in own} | dict(provider.headers)


class AnthropicMessages:
    """One model of one provider. The provider's URL may end in ``/v1`` or before it."""

    def __init__(self, upstream: Upstream, model: Model) -> None:
        self._upstream = upstream
        self._model = model
        self._path = "/messages" if upstream.path.endswith("/v1") else "/v1/messages"

    def stream(self, call: ModelCall) -> Iterator[Delta]:
        provider, secrets = self._upstream.provider, self._upstream.secrets
        answer = self._upstream.post(self._path, orjson.dumps(payload(call, self._model)))
        try:
            raise_for_status(provider, answer, secrets)
            yield from _Reader(provider, answer, secrets, call.model).deltas()
        finally:
            answer.close()


class _Reader:
    """Reads one answer. ``blocks``: those that are open, by the index that the server gave them."""

    def __init__(self, provider: str, answer: Answer, secrets: Sequence[str], model: str) -> None:
        self._provider = provider
        self._answer = answer
        self._secrets = secrets
        self._kept = Keeper(API, model)
        self._blocks: dict[Any, _Block] = {}
        self._calls = 0
        self._usage: dict[str, Any] = {}
        self._finish: str | None = None

    def deltas(self) -> Iterator[Delta]:
        began = False
        try:
            for event in sse.events(self._provider, self._answer):
                kind = event.get("type")
                if kind == "error":
                    raise stream_fault(self._provider, event.get("error"), self._secrets)
                if not began:
                    began = True
                    yield Began()
                if kind == "content_block_delta":
                    yield from self._delta(self._blocks[event["index"]], event["delta"])
                elif kind == "content_block_start":
                    yield from self._start(event["index"], event["content_block"])
                elif kind == "content_block_stop":
                    yield from self._stop(self._blocks.pop(event["index"]))
                elif kind == "message_start":
                    self._count(event["message"].get("usage"))
                elif kind == "message_delta":
                    self._count(event.get("usage"))
                    if reason := event["delta"].get("stop_reason"):
                        self._finish = _FINISH_REASONS.get(reason, "stop")
                        self._answer.hurry(sse.AFTER_FINISH_TIMEOUT)
                elif kind == "message_stop":
                    self._answer.hurry(sse.AFTER_DONE_TIMEOUT)
        except (AttributeError, KeyError, TypeError) as error:
            raise sse.unknown_shape(self._provider) from error
        except ProviderError as error:
            if self._finish is None:
                raise
            log.info("provider %s did not close its stream after the stop reason: %s", self._provider, error)
        if self._finish is None:
            raise sse.unfinished(self._provider, began)
        if self._calls and self._finish == "stop":
            self._finish = "tool_calls"
        yield Completed(self._finish, self._tokens(), self._kept.state())

    def _start(self, place: Any, given: dict[str, Any]) -> Iterator[Delta]:
        block = self._blocks[place] = _Block(given["type"])
        if block.kind == "tool_use":
            block.index = self._calls
            self._calls += 1
            yield ToolCallDelta(block.index, checked(given["id"]), checked(given["name"]))
            # Some servers send a call whole, right here.
            if given.get("input"):
                yield from self._delta(
                    block, {"type": "input_json_delta", "partial_json": orjson.dumps(given["input"]).decode()}
                )
        elif block.kind == "redacted_thinking":
            block.signature = checked(given["data"])
        elif block.kind == "thinking":
            block.signature = checked(given.get("signature") or "")
            if text := given.get("thinking"):
                yield from self._delta(block, {"type": "thinking_delta", "thinking": text})
        elif block.kind == "text" and (text := given.get("text")):
            yield from self._delta(block, {"type": "text_delta", "text": text})

    def _delta(self, block: _Block, delta: dict[str, Any]) -> Iterator[Delta]:
        kind = delta["type"]
        if kind == "text_delta":
            if text := checked(delta["text"]):
                block.length += len(text)
                yield TextDelta(text)
        elif kind == "thinking_delta":
            if text := checked(delta["thinking"]):
                if self._kept.grow(len(text)):
                    block.thinking.append(text)
                yield ReasoningDelta(text)
        elif kind == "signature_delta":
            block.signature += checked(delta["signature"])
        elif kind == "input_json_delta" and (text := checked(delta["partial_json"])):
            block.length += len(text)
            yield ToolCallDelta(block.index, arguments=text)

    def _stop(self, block: _Block) -> Iterator[Delta]:
        if block.kind == "text":
            self._kept.text(block.length)
        elif block.kind == "tool_use":
            self._kept.call()
            if not block.length:
                yield ToolCallDelta(block.index, arguments="{}")
        elif block.signature and self._kept.grow(len(block.signature)):
            if block.kind == "thinking":
                thinking = "".join(block.thinking)
                self._kept.keep({"type": "thinking", "thinking": thinking, "signature": block.signature})
            elif block.kind == "redacted_thinking":
                self._kept.keep({"type": "redacted_thinking", "data": block.signature})

    def _count(self, reported: Any) -> None:
        """Counts are cumulative: what comes later holds."""
        if isinstance(reported, dict):
            self._usage.update({name: tokens for name, tokens in reported.items() if tokens is not None})

    def _tokens(self) -> Usage:
        cached = count(self._usage.get("cache_read_input_tokens"))
        written = count(self._usage.get("cache_creation_input_tokens"))
        prompt = count(self._usage.get("input_tokens")) + cached + written
        return Usage(prompt, count(self._usage.get("output_tokens")), cached)


class _Block:
    """A part of the answer that is being written.

    index: of a tool call, ours. length: characters so far. signature: what proves a thought's origin, or holds one
    that is not shown.
    """

    def __init__(self, kind: str) -> None:
        self.kind = kind
        self.index = 0
        self.length = 0
        self.thinking: list[str] = []
        self.signature = ""
