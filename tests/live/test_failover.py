"""Fallback models: who answers when the first one can't, and where that is told."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.conftest import StartGateway
from tests.live.gateway import Gateway
from tests.scripted import Cut, CutBeforeHeaders, Reply, ScriptedProvider, Status, Step

CHOICE = {"primary": "scripted/m", "fallbacks": ["other/n"]}


@pytest.fixture
def other() -> Iterator[ScriptedProvider]:
    with ScriptedProvider() as provider:
        provider.default = Reply("from the other")
        yield provider


@pytest.fixture
def pair(start_gateway: StartGateway, other: ScriptedProvider) -> Gateway:
    """A gateway whose agent has a second model at a provider of another format."""
    url = other.base_url.removesuffix("/v1")
    return start_gateway(
        agents={"list": [{"id": "main", "model": CHOICE}]},
        models={"providers": {"other": {"baseUrl": url, "api": "anthropic-messages", "apiKey": "k2"}}},
    )


@pytest.mark.parametrize(
    "step",
    [
        Status(503),
        Status(429, headers={"Retry-After": "1"}),
        Status(402, "no credit"),
        Status(401, "bad key"),
        CutBeforeHeaders(),
    ],
    ids=["down", "limited", "no-credit", "key", "cut"],
)
def test_the_next_model_answers(pair: Gateway, provider: ScriptedProvider, step: Step) -> None:
    """A model that can't answer is followed by the next one, in one answer, and asked last from then on."""
    provider.default = step
    first = pair.chat("hi")
    assert (first.status, first.text) == (200, "from the other")
    tried = len(provider.requests)
    assert pair.chat("hi").text == "from the other"
    assert len(provider.requests) == tried
    ready = pair.call("/readyz", method="GET").json
    assert ready["ready"] is True
    assert list(ready["modelsSetAside"]) == ["scripted/m"]
    assert ready["modelsSetAside"]["scripted/m"]["seconds"] <= 600
    metrics = pair.call("/metrics", method="GET").body.decode()
    assert 'openclaw_model_set_aside{model="scripted/m"} 1.0' in metrics
    assert 'openclaw_model_failures_total{model="scripted/m"} 1.0' in metrics


def test_strangers_learn_nothing_of_models(pair: Gateway, provider: ScriptedProvider) -> None:
    """Readiness without a token names no model, and metrics need one."""
    provider.default = Status(503)
    pair.chat("hi")
    assert pair.call("/readyz", method="GET", token=None).json == {"ready": True, "failing": []}
    assert pair.call("/metrics", method="GET", token=None).status == 401


def test_never_after_the_first_token(pair: Gateway, provider: ScriptedProvider, other: ScriptedProvider) -> None:
    """An answer that was cut is an error: two models' halves are no answer."""
    provider.enqueue(Cut(after_tokens=2))
    answer = pair.chat("hi")
    assert (answer.status, answer.error["type"]) == (502, "upstream_error")
    assert other.requests == []


def test_a_refused_request_is_nobody_elses(pair: Gateway, provider: ScriptedProvider, other: ScriptedProvider) -> None:
    """What the first model calls a bad request is the caller's 400."""
    provider.enqueue(Status(400, "temperature is wrong"))
    answer = pair.chat("hi")
    assert answer.status == 400
    assert other.requests == []


def test_another_model_for_one_run(pair: Gateway, provider: ScriptedProvider, other: ScriptedProvider) -> None:
    """x-openclaw-model asks another model this once; an unknown one is a 404, and nothing else is asked instead."""
    answer = pair.chat("hi", headers={"x-openclaw-model": "other/n"})
    assert answer.text == "from the other"
    assert provider.requests == []
    assert other.requests[0].body["model"] == "n"
    unknown = pair.chat("hi", headers={"x-openclaw-model": "scripted/nobody"})
    assert (unknown.status, unknown.error["code"]) == (404, "model_not_found")


def test_a_model_that_may_not_be_chosen(start_gateway: StartGateway, provider: ScriptedProvider) -> None:
    """modelPolicy.allow bounds what x-openclaw-model may name, by aliases too; the agent's own model always answers."""
    models = {"providers": {"scripted": {"models": [{"id": name} for name in ("m", "big", "small")]}}}
    named = {"scripted/big": {"alias": "huge"}, "scripted/small": {"alias": "quick", "params": {"temperature": 0.5}}}
    defaults = {"modelPolicy": {"allow": ["scripted/s*"]}, "models": named}
    gateway = start_gateway(models=models, agents={"defaults": defaults})
    for wanted in ("scripted/big", "huge"):
        refused = gateway.chat("hi", headers={"x-openclaw-model": wanted})
        assert (refused.status, refused.error["param"]) == (400, "x-openclaw-model")
        assert "modelPolicy.allow" in refused.error["message"]
    assert provider.requests == []
    for wanted in ("scripted/small", "Quick", "scripted/m"):
        assert gateway.chat("hi", headers={"x-openclaw-model": wanted}).status == 200
    assert gateway.chat("hi", headers={"x-openclaw-model": "quick"}, temperature=0).status == 200
    asked = [(received.body["model"], received.body.get("temperature")) for received in provider.requests]
    assert asked == [("small", 0.5), ("small", 0.5), ("m", None), ("small", 0)]
