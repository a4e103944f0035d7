"""``openai-completions``: any server that speaks the OpenAI Chat Completions API, always asked for a stream.

Wire format: https://platform.openai.com/docs/api-reference/chat-streaming
"""

from __future__ import annotations

import logging
from collections.abc import Iterator, Mapping
from typing import Any

import orjson

from app.config.settings import Compat
from app.errors import ProviderRefused
from app.providers import sse
from app.providers.completions_messages import API
from app.providers.completions_request import USUAL, Dialect, payload
from app.providers.error_bodies import error_in
from app.providers.faults import raise_for_status, stream_fault
from app.providers.finish_reasons import STOP, TOOL_CALLS, finish_reason
from app.providers.sse import checked, count, text_or_none
from app.providers.state import Keeper
from app.providers.stream import (
    NO_DETAILS,
    Began,
    Completed,
    Delta,
    ModelCall,
    ReasoningDelta,
    RefusalDelta,
    TextDelta,
    Usage,
)
from app.providers.thoughts import REASONING, Thoughts
from app.providers.tool_calls import ToolCalls, ended_in_order
from app.providers.upstream import Answer, Upstream

log = logging.getLogger("gateway.providers")

STREAM_OPTIONS = "stream_options"
HTML = "html-entities"

# Members of a delta that is a token, and of a choice that says nothing.
_TOKEN = frozenset({"role", "content"})
_SILENT = frozenset({"index", "delta", "finish_reason", "logprobs"})
_THINKING = frozenset({"thinking", "reasoning"})
_THOUGHTS = ("thinking", "text", "reasoning", "summary")
# Where servers count, besides OpenAI's own names.
_PROMPT = ("prompt_tokens", "input_tokens")
_COMPLETION = ("completion_tokens", "output_tokens")
_NO_USAGE = Usage()
_CACHED = ("prompt_cache_hit_tokens", "cached_tokens", "cache_read_input_tokens")


class OpenAICompletions:
    """One model of one provider, in the dialect that its server speaks."""

    def __init__(self, upstream: Upstream, dialect: Dialect = USUAL) -> None:
        self._upstream = upstream
        self._dialect = dialect

    def stream(self, call: ModelCall) -> Iterator[Delta]:
        answer = self._ask(call)
        try:
            names = frozenset(tool["function"]["name"] for tool in call.tools)
            yield from _Reader(self._upstream, answer, self._reference(call), self._dialect.compat, names).deltas()
        finally:
            answer.close()

    def _ask(self, call: ModelCall) -> Answer:
        upstream, compat = self._upstream, self._dialect.compat
        usage = compat.supports_usage_in_streaming is not False and STREAM_OPTIONS not in upstream.refused
        answer = upstream.post(
            "/chat/completions", orjson.dumps(payload(call, self._dialect, self._reference(call), usage=usage))
        )
        try:
            raise_for_status(upstream.provider, answer, upstream.secrets)
        except ProviderRefused as refused:
            answer.close()
            if not usage or STREAM_OPTIONS not in refused.message:
                raise
        except BaseException:
            answer.close()
            raise
        else:
            return answer
        log.warning("provider %s takes no %s; it is asked without from now on", upstream.provider, STREAM_OPTIONS)
        upstream.refused.add(STREAM_OPTIONS)
        return self._ask(call)

    def _reference(self, call: ModelCall) -> str:
        return f"{self._upstream.provider}/{call.model}"


class _Reader:
    """Reads one answer."""

    _choice: Any = None
    _refused = False
    _thought = False
    _finish: str | None = None
    _usage = _NO_USAGE
    _tier: str | None = None
    _fingerprint: str | None = None

    def __init__(
        self, upstream: Upstream, answer: Answer, reference: str, compat: Compat, names: frozenset[str] = frozenset()
    ) -> None:
        self._provider = upstream.provider
        self._secrets = upstream.secrets
        self._answer = answer
        self._compat = compat
        self._kept = Keeper(API, reference)
        self._thoughts = Thoughts(self._kept)
        self._calls = ToolCalls(self._provider, names)
        self._events = sse.Events(self._provider, answer)
        self._texts: list[str] = []

    def deltas(self) -> Iterator[Delta]:
        began = False
        try:
            for chunk in self._events:
                choices, reported = chunk.get("choices"), chunk.get("usage")
                if "error" in chunk or not (choices or reported):
                    self._check(chunk)
                    # Some proxies put what their provider says into a member.
                    if isinstance(inner := chunk.get("data"), dict):
                        choices, reported = inner.get("choices"), inner.get("usage")
                if not began:
                    began = True
                    yield Began()
                for choice in filter(None, choices or ()):
                    if choice.get("error"):
                        self._check(choice)
                    reported = reported or choice.get("usage")
                    if choice.get("index") != self._choice and not self._is_ours(choice):
                        continue
                    delta = choice.get("delta")
                    # A token: nearly every delta is one, and has nothing else but a role.
                    if delta and type(text := delta.get("content")) is str and delta.keys() <= _TOKEN:
                        if text:
                            self._texts.append(text)
                            yield TextDelta(text)
                    elif delta or not choice.keys() <= _SILENT:
                        yield from self._said(choice, delta)
                    if reason := choice.get("finish_reason"):
                        self._finish = finish_reason(self._provider, reason)
                        self._answer.hurry(sse.AFTER_FINISH_TIMEOUT)
                if reported:
                    self._count(reported)
                if self._finish is not None:
                    if "x_groq" in chunk:
                        self._count((chunk["x_groq"] or {}).get("usage"))
                    if "service_tier" in chunk:
                        self._tier = text_or_none(chunk["service_tier"]) or self._tier
                    if "system_fingerprint" in chunk:
                        self._fingerprint = text_or_none(chunk["system_fingerprint"]) or self._fingerprint
        except sse.FAULTS as error:
            if self._finish is None:
                raise sse.fault_of(self._provider, error) from error
            log.info("provider %s did not close its stream after the finish reason: %s", self._provider, error)
        yield from self._end(began)

    def _check(self, chunk: dict[str, Any]) -> None:
        """Raise ProviderError for an event that is an error."""
        if (error := error_in(chunk)) is not None:
            raise stream_fault(self._provider, error, self._secrets)

    def _is_ours(self, choice: dict[str, Any]) -> bool:
        """Whether it is the first of several answers: only one was asked for, but some servers put calls beside it."""
        index = choice.get("index")
        if self._choice is None:
            self._choice = index
        if index in (None, self._choice):
            return True
        said = choice.get("delta") or choice.get("message") or {}
        return bool(said.get("tool_calls") or said.get("function_call"))

    def _said(self, choice: dict[str, Any], delta: Any) -> Iterator[Delta]:
        if delta and delta.keys() != {"role"}:
            yield from self._told(delta)
        elif message := choice.get("message"):
            yield from self._whole(message)
        else:
            # Some servers answer as the older API does.
            yield from self._told({"content": choice.get("text")})

    def _whole(self, message: dict[str, Any]) -> Iterator[Delta]:
        """A message in place of a delta: a piece as one, or behind others the answer once more."""
        content = message.get("content")
        said: dict[str, Any] = {}
        heard = "".join(self._texts)
        if heard and isinstance(content, str):
            said["content"] = content.removeprefix(heard)
        if self._thought:
            said |= dict.fromkeys(REASONING)
        if self._calls:
            said |= {"tool_calls": (message.get("tool_calls") or [])[len(self._calls) :], "function_call": None}
        if self._refused:
            said["refusal"] = None
        yield from self._told({**message, **said}, whole=True)

    def _told(self, delta: dict[str, Any], *, whole: bool = False) -> Iterator[Delta]:
        if text := self._thoughts.read(delta):
            self._thought = True
            yield ReasoningDelta(text)
        content = delta.get("content")
        for part in filter(None, content) if isinstance(content, list) else ({"text": content},):
            yield from self._part(part)
        if refusal := delta.get("refusal"):
            yield RefusalDelta(checked(refusal))
            self._refused = True
        if fragments := delta.get("tool_calls"):
            self._calls.read(fragments, whole=whole)
        if function := delta.get("function_call"):
            self._calls.add("function_call", None, function.get("name"), function.get("arguments"))

    def _part(self, part: dict[str, Any]) -> Iterator[Delta]:
        """Text, or a part of a content that is a list: ``text``, ``thinking``, ``refusal``; others say nothing."""
        kind = part.get("type", "text")
        if kind in _THINKING:
            thoughts = next((part[name] for name in _THOUGHTS if part.get(name)), ())
            texts = [thoughts] if isinstance(thoughts, str) else [each.get("text") for each in thoughts]
            yield from (ReasoningDelta(checked(text)) for text in texts if text)
        elif text := part.get("refusal"):
            self._refused = True
            yield RefusalDelta(checked(text))
        elif text := part.get("text"):
            self._texts.append(checked(text))
            yield TextDelta(text)
        elif kind not in ("text", "reference"):
            log.info("provider %s sent a part of type %.40r, which is passed over", self._provider, kind)

    def _end(self, began: bool) -> Iterator[Delta]:
        said = bool(self._texts or self._refused)
        if self._finish is None:
            self._finish = ended_in_order(self._provider, began, said, self._calls)
        if self._finish == STOP and self._calls:
            self._finish = TOOL_CALLS  # some servers say "stop"
        if self._finish == TOOL_CALLS:
            yield from self._calls.told(said=said, decode=self._compat.tool_call_arguments_encoding == HTML)
        yield Completed(self._finish, self._usage, self._state(), self._tier, self._fingerprint)

    def _state(self) -> Mapping[str, Any] | None:
        """What goes back with the calls' results; an answer that ends its turn is never sent with it."""
        if self._finish != TOOL_CALLS:
            return None
        if (block := self._thoughts.block()) is not None:
            self._kept.keep(block)
        self._kept.text(sum(map(len, self._texts)))
        for extra in self._calls.extras:
            self._kept.call(**({"extra_content": extra} if extra and self._kept.grow(len(orjson.dumps(extra))) else {}))
        return self._kept.state()

    def _count(self, reported: Any) -> None:
        """Counts are for the whole call: what comes later holds, but for a server that ends with zeros."""
        usage = _usage(reported)
        if usage != _NO_USAGE:
            self._usage = usage


def _usage(reported: Any) -> Usage:
    """https://platform.openai.com/docs/api-reference/chat/object#chat-object-usage and what others call it."""
    if not isinstance(reported, dict):
        return _NO_USAGE
    read, made = _details(reported, "prompt_tokens_details"), _details(reported, "completion_tokens_details")
    cached = read.get("cached_tokens") or _first(reported, _CACHED)
    written = read.get("cache_write_tokens", read.get("cache_creation_tokens"))
    prompt, completion = _first(reported, _PROMPT), _first(reported, _COMPLETION)
    reasoning = made.get("reasoning_tokens", 0)
    if reasoning and prompt + completion + reasoning == count(reported.get("total_tokens")):
        completion += reasoning  # of a server that counts them beside
    return Usage(prompt, completion, cached, written, made)


def _first(reported: dict[str, Any], names: tuple[str, ...]) -> int:
    for name in names:
        if name in reported and (tokens := count(reported[name])):
            return tokens
    return 0


def _details(reported: dict[str, Any], name: str) -> Mapping[str, int]:
    details = reported.get(name)
    if not isinstance(details, dict):
        return NO_DETAILS
    return {key: count(tokens) for key, tokens in details.items() if type(tokens) in (int, float)}
