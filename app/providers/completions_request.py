"""A model call as the body of a request to an OpenAI-compatible server, in that server's dialect.

Source: https://platform.openai.com/docs/api-reference/chat/create; ``docs/providers.md`` has what the dialects change.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any

from app.config.settings import NO_COMPAT, Compat
from app.providers.compat import adapted
from app.providers.completions_messages import messages_for
from app.providers.request_fields import taken
from app.providers.stream import ModelCall

Body = dict[str, Any]
TEMPLATE = "chat_template_kwargs"


@dataclass(frozen=True, slots=True)
class Dialect:
    """What one model's server takes.

    fields:           names of the caller's fields that it is sent, see ``request_fields``.
    max_tokens_field: the name that the token limit has there.
    caches_by_key:    it takes a ``prompt_cache_key``.
    body:             fields that the operator adds, over the caller's.
    """

    fields: frozenset[str]
    max_tokens_field: str = "max_tokens"
    caches_by_key: bool = False
    compat: Compat = NO_COMPAT
    body: Mapping[str, Any] = field(default_factory=lambda: MappingProxyType({}))


USUAL = Dialect(taken("openai-completions", openai=False))


def payload(call: ModelCall, dialect: Dialect, reference: str, *, usage: bool) -> Body:
    """The request's body. reference: ``provider/model``. usage: ask for usage within the stream."""
    compat = dialect.compat
    call = adapted(call, compat)
    body: Body = {
        "model": call.model,
        "messages": messages_for(call.messages, reference, compat),
        "stream": True,
    }
    if usage:
        body["stream_options"] = {"include_usage": True}
    body.update((name, value) for name, value in call.sampling.items() if name in dialect.fields)
    if call.tools:
        body["tools"] = call.tools
        if call.tool_choice is not None:
            body["tool_choice"] = call.tool_choice
        if compat.zai_tool_stream:
            body["tool_stream"] = True
        # OpenAI refuses the two together.
        body.pop("prediction", None)
    else:
        body.pop("parallel_tool_calls", None)
    limit = body.pop("max_tokens", None)
    if limit is not None:
        body[dialect.max_tokens_field] = limit
    if dialect.caches_by_key and call.cache_key:
        body.setdefault("prompt_cache_key", call.cache_key)
    if (effort := body.pop("reasoning_effort", None)) is not None:
        _FORMATS.get(compat.thinking_format or "", _effort)(body, effort, effort != "none")
    if compat.open_router_routing:
        body["provider"] = compat.open_router_routing
    if compat.vercel_gateway_routing:
        body["providerOptions"] = {"gateway": compat.vercel_gateway_routing}
    return with_operators(body, dialect.body) if dialect.body else body


def with_operators(body: Body, added: Mapping[str, Any]) -> Body:
    """The body with the operator's fields over it; what he says of a template is joined to what is said already."""
    merged = {**body, **added}
    said, more = body.get(TEMPLATE), added.get(TEMPLATE)
    if isinstance(said, dict) and isinstance(more, dict):
        merged[TEMPLATE] = {**said, **more}
    return merged


def _effort(body: Body, effort: Any, _thinks: bool) -> None:
    body["reasoning_effort"] = effort


def _nested_effort(body: Body, effort: Any, _thinks: bool) -> None:
    body.setdefault("reasoning", {"effort": effort})


def _nested_flag(body: Body, effort: Any, thinks: bool) -> None:
    body.setdefault("reasoning", {"enabled": thinks})
    if thinks:
        body["reasoning_effort"] = effort


def _switch(body: Body, effort: Any, thinks: bool) -> None:
    body.setdefault("thinking", {"type": "enabled" if thinks else "disabled"})
    if thinks:
        body["reasoning_effort"] = effort


def _zai_switch(body: Body, _effort: Any, thinks: bool) -> None:
    # It throws the thoughts of earlier steps away, unless it is told not to.
    body.setdefault("thinking", {"type": "enabled", "clear_thinking": False} if thinks else {"type": "disabled"})


def _flag(body: Body, _effort: Any, thinks: bool) -> None:
    body.setdefault("enable_thinking", thinks)


def _template_flag(body: Body, _effort: Any, thinks: bool) -> None:
    given = body.setdefault("chat_template_kwargs", {})
    if isinstance(given, dict):  # else the server says what is wrong
        body["chat_template_kwargs"] = {"enable_thinking": thinks, **given}


# How a server is told to think, by its ``thinkingFormat``; one of another name is told its effort.
_FORMATS: Mapping[str, Callable[[Body, Any, bool], None]] = {
    "openrouter": _nested_effort,
    "together": _nested_flag,
    "deepseek": _switch,
    "zai": _zai_switch,
    "qwen": _flag,
    "qwen-chat-template": _template_flag,
}
