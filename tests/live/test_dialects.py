"""What a provider's entry in the configuration changes on the wire, seen from the provider."""

from __future__ import annotations

import json
from typing import Any

from tests.conftest import StartGateway
from tests.live.gateway import Config, config_for
from tests.scripted import Reply, ScriptedProvider, Status

UNKNOWN = {"detail": [{"type": "extra_forbidden", "loc": ["body", "stream_options"], "msg": "Extra inputs"}]}


def config(url: str, *, model: dict[str, Any] | None = None, **entry: Any) -> Config:
    models = [{"id": "m", **(model or {})}]
    return config_for(url, models={"providers": {"scripted": {"baseUrl": url, "models": models, **entry}}})


def test_stream_options_are_left_out_once_a_server_refused_them(
    start_gateway: StartGateway, provider: ScriptedProvider
) -> None:
    """The first call is sent again without them, and later ones come without them at once."""
    gateway = start_gateway()
    provider.enqueue(Status(422, body=json.dumps(UNKNOWN).encode()))
    assert gateway.chat().text == gateway.chat(stream=False).text == "Hello world"
    assert ["stream_options" in request.body for request in provider.requests] == [True, False, False]


def test_a_refusal_of_something_else_is_told(start_gateway: StartGateway, provider: ScriptedProvider) -> None:
    """Only what names them is tried again."""
    gateway = start_gateway()
    provider.enqueue(Status(400, "temperature is too high"))
    assert gateway.chat().error["message"] == "temperature is too high"
    assert len(provider.requests) == 1


def test_the_key_goes_where_the_entry_says(start_gateway: StartGateway, provider: ScriptedProvider) -> None:
    """``authHeader`` sends it as a bearer token in the Anthropic format, too."""
    gateway = start_gateway(config=config(provider.base_url, api="anthropic-messages", apiKey="k-1", authHeader=True))
    assert gateway.chat().text == "Hello world"
    headers = provider.requests[0].headers
    assert (headers["authorization"], headers["x-api-key"]) == ("Bearer k-1", None)


def test_a_model_may_speak_another_format(start_gateway: StartGateway, provider: ScriptedProvider) -> None:
    """A model's ``api`` and ``headers`` count for it, whatever its provider has."""
    gateway = start_gateway(
        config=config(provider.base_url, model={"api": "anthropic-messages", "headers": {"X-Own": "yes"}}, apiKey="k-1")
    )
    assert gateway.chat().text == "Hello world"
    received = provider.requests[0]
    assert (received.path, received.headers["x-own"], received.headers["x-api-key"]) == ("/v1/messages", "yes", "k-1")


def test_what_the_operator_adds_to_each_request(start_gateway: StartGateway, provider: ScriptedProvider) -> None:
    """``extra_body`` and ``chat_template_kwargs`` reach the server; the conversation is not theirs to replace."""
    params = {"extra_body": {"top_k": 7, "messages": []}, "chat_template_kwargs": {"enable_thinking": False}}
    gateway = start_gateway(
        config=config_for(provider.base_url, agents={"defaults": {"models": {"scripted/m": {"params": params}}}})
    )
    provider.default = Reply("ok")
    assert gateway.chat().text == "ok"
    body = provider.requests[0].body
    assert (body["top_k"], body["chat_template_kwargs"]) == (7, {"enable_thinking": False})
    assert body["messages"]


def test_no_encoding_is_asked_for(start_gateway: StartGateway, provider: ScriptedProvider) -> None:
    """Packed, tokens would wait in the provider."""
    start_gateway().chat()
    assert provider.requests[0].headers["accept-encoding"] == "identity"
