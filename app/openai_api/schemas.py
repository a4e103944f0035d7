"""The body of ``POST /v1/chat/completions``.

Source: https://platform.openai.com/docs/api-reference/chat/create. Of fields that do not stand here see
``other_fields``.
"""

from __future__ import annotations

from functools import lru_cache
from typing import Any

from marshmallow import EXCLUDE, Schema, ValidationError

from app.errors import InvalidRequest
from app.http.fields import Choice, Flag, Number, Object, Refused, Stop, Text, first_fault, load_fields
from app.openai_api.messages import Messages
from app.openai_api.tools import CallerTools, ToolChoice, check_choice
from app.providers import request_fields

# Fields that go to the provider as they are.
SAMPLING = request_fields.OPENAI | {
    "temperature",
    "top_p",
    "presence_penalty",
    "frequency_penalty",
    "seed",
    "stop",
    "response_format",
    "reasoning_effort",
    "logit_bias",
    "parallel_tool_calls",
}

# Pairs of metadata, and characters of their names and values.
MOST_PAIRS, MAX_KEY, MAX_VALUE = 16, 64, 512

_LEGACY = "functions are not supported; use tools"
_NO_AUDIO = "audio is not supported; answers are text"
_NO_LOGPROBS = "log probabilities are not supported: an answer may span several calls of models"


class ResponseFormat(Object):
    def _deserialize(self, value: Any, attr: str | None, data: Any, **kwargs: Any) -> dict[str, Any]:
        form = super()._deserialize(value, attr, data, **kwargs)
        if form.get("type") not in ("text", "json_object", "json_schema"):
            raise ValidationError({"type": ["must be text, json_object or json_schema"]})
        if form["type"] == "json_schema":
            described = form.get("json_schema")
            if not isinstance(described, dict) or not isinstance(described.get("name"), str):
                raise ValidationError({"json_schema": ["must be an object with a name and a schema"]})
            if not isinstance(described.get("schema"), dict | None):
                raise ValidationError({"json_schema": {"schema": ["must be an object, a JSON schema"]}})
            return {**form, "json_schema": _without_nulls(described)}
        return form


class StreamOptions(Object):
    def _deserialize(self, value: Any, attr: str | None, data: Any, **kwargs: Any) -> dict[str, Any]:
        options = super()._deserialize(value, attr, data, **kwargs)
        if not isinstance(options.get("include_usage"), bool | None):
            raise ValidationError({"include_usage": ["must be true or false"]})
        return options


def _without_nulls(given: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in given.items() if value is not None}


class Metadata(Object):
    def _deserialize(self, value: Any, attr: str | None, data: Any, **kwargs: Any) -> dict[str, Any]:
        pairs = _without_nulls(super()._deserialize(value, attr, data, **kwargs))
        if len(pairs) > MOST_PAIRS:
            raise ValidationError(f"must hold {MOST_PAIRS} pairs at most")
        for name, text in pairs.items():
            if len(name) > MAX_KEY:
                raise ValidationError(f"must have names of {MAX_KEY} characters at most")
            if not isinstance(text, str) or len(text) > MAX_VALUE:
                raise ValidationError({name: [f"must be a string of {MAX_VALUE} characters at most"]})
        return pairs


class ChatCompletionSchema(Schema):
    class Meta:
        unknown = EXCLUDE

    model = Text()
    messages = Messages()
    stream = Flag()
    stream_options = StreamOptions()
    user = Text()
    n = Refused("must be 1", 1)
    temperature = Number(0, 2)
    top_p = Number(0, 1)
    presence_penalty = Number(-2, 2)
    frequency_penalty = Number(-2, 2)
    seed = Number(whole=True)
    stop = Stop()
    max_tokens = Number(1, whole=True)
    max_completion_tokens = Number(1, whole=True)
    response_format = ResponseFormat()
    reasoning_effort = Text()
    logit_bias = Object()
    verbosity = Choice("low", "medium", "high")
    service_tier = Text()
    safety_identifier = Text(128)
    prompt_cache_key = Text()
    prompt_cache_retention = Text()
    prompt_cache_options = Object()
    prediction = Object()
    metadata = Metadata()
    logprobs = Refused(_NO_LOGPROBS, False)
    top_logprobs = Refused(_NO_LOGPROBS, 0)
    audio = Refused(_NO_AUDIO)
    modalities = Refused('must be ["text"]: audio is not supported', ["text"], [])
    parallel_tool_calls = Flag()
    tools = CallerTools()
    tool_choice = ToolChoice()
    functions = Refused(_LEGACY, [])
    function_call = Refused(_LEGACY, "none", "auto")


FIELDS = frozenset(ChatCompletionSchema._declared_fields)


@lru_cache(maxsize=256)
def _schema(present: frozenset[str]) -> ChatCompletionSchema:
    """The schema of the fields that a client sends: always the same ones, and absent fields would cost time too."""
    return ChatCompletionSchema(only=present | {"messages"})


def load_chat_completion(body: dict[str, Any], max_messages: int) -> dict[str, Any]:
    """The checked fields of a request body, nulls left out. Cooperative.

    Raises InvalidRequest with the first fault's path.
    """
    messages = body.get("messages")
    if isinstance(messages, list) and len(messages) > max_messages:
        reason = f"must hold {max_messages:,} messages at most (gateway.http.endpoints.chatCompletions.maxMessages)"
        raise InvalidRequest(f"messages: {reason}", param="messages")
    try:
        loaded = load_fields(_schema(FIELDS.intersection(body)), body)
        if "tool_choice" in loaded:
            check_choice(loaded, body["tool_choice"])
    except ValidationError as error:
        path, reason = first_fault(error.messages)
        raise InvalidRequest(f"{path}: {reason}", param=path) from None
    return {name: value for name, value in loaded.items() if value is not None}


def sampling_of(chat: dict[str, Any]) -> dict[str, Any]:
    """What of a loaded request goes to the provider; the token limit always as ``max_tokens``."""
    sampling = {name: value for name, value in chat.items() if name in SAMPLING}
    if not sampling.get("stop", True):
        del sampling["stop"]
    limit = chat.get("max_completion_tokens", chat.get("max_tokens"))
    if limit is not None:
        sampling["max_tokens"] = limit
    return sampling
