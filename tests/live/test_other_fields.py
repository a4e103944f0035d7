"""Fields beside those that every server knows: which reach the provider, and how the caller learns of the others."""

from __future__ import annotations

from typing import Any

import pytest

from tests.conftest import StartGateway
from tests.live.expect import expect_error
from tests.live.gateway import Gateway
from tests.scripted import Hang, ScriptedProvider, Status
from tests.wire.case import WEATHER

IGNORED = "x-openclaw-ignored-fields"
FIELDS: dict[str, Any] = {"top_k": 5, "verbosity": "low", "store": True, "of_tomorrow": {"a": [1]}, "seed": 1}


def entry(provider: ScriptedProvider, **more: Any) -> Any:
    return {"providers": {"scripted": {"baseUrl": provider.base_url, "apiKey": "k", "models": [{"id": "m"}], **more}}}


@pytest.mark.parametrize("stream", [False, True])
def test_a_compatible_server_is_sent_its_own(gateway: Gateway, provider: ScriptedProvider, stream: bool) -> None:
    """What is usual there reaches it; the answer names the rest, a stream's too."""
    answer = gateway.chat(**FIELDS, stream=stream)
    assert (answer.status, answer.headers[IGNORED]) == (200, "of_tomorrow,store,verbosity")
    sent = provider.requests[0].body
    assert {name: sent[name] for name in FIELDS if name in sent} == {"top_k": 5, "seed": 1}


def test_openai_is_sent_its_own(start_gateway: StartGateway, provider: ScriptedProvider) -> None:
    """Another dialect takes others, and a prediction only where no tools are offered."""
    gateway = start_gateway(models=entry(provider, dialect="openai"))
    prediction = {"type": "content", "content": "text"}
    answer = gateway.chat(**FIELDS, prediction=prediction, safety_identifier="s")
    assert answer.headers[IGNORED] == "of_tomorrow,store,top_k"
    sent = provider.requests[0].body
    assert (sent["verbosity"], sent["prediction"], sent["safety_identifier"]) == ("low", prediction, "s")
    assert gateway.chat(prediction=prediction, tools=[WEATHER]).headers[IGNORED] == "prediction"
    assert "prediction" not in provider.requests[1].body


def test_what_the_operator_lists_is_passed(start_gateway: StartGateway, provider: ScriptedProvider) -> None:
    """Any name, as it is, in place of the usual ones; and never what is the gateway's own."""
    gateway = start_gateway(models=entry(provider, passFields=["of_tomorrow", "store"]))
    assert gateway.chat(**FIELDS).headers[IGNORED] == "store,top_k,verbosity"
    sent = provider.requests[0].body
    assert sent["of_tomorrow"] == {"a": [1]}
    assert "store" not in sent
    large = gateway.chat(of_tomorrow="x" * 70_000)
    expect_error(large, 400, "invalid_request_error", param="of_tomorrow")
    assert gateway.chat(top_k="x" * 70_000).headers[IGNORED] == "top_k"


def test_the_model_that_answers_decides(start_gateway: StartGateway, provider: ScriptedProvider) -> None:
    """A fallback of another kind is sent its own choice, and the answer names what that one was not sent."""
    providers = entry(provider)["providers"]
    providers["claude"] = {**providers["scripted"], "api": "anthropic-messages"}
    main = {"id": "main", "model": {"primary": "scripted/m", "fallbacks": ["claude/m"]}}
    gateway = start_gateway(agents={"list": [main]}, models={"providers": providers})
    provider.enqueue(Status(401))
    assert gateway.chat(top_k=5, seed=1).headers[IGNORED] == "seed,top_k"


def test_an_ordinary_answer_has_no_such_header(gateway: Gateway) -> None:
    """Nothing was ignored, and nothing is said."""
    answer = gateway.chat(temperature=0.5, seed=1, n=1, logprobs=False, user="u", metadata={"a": "b"}, top_p=None)
    assert answer.headers[IGNORED] is None


def test_names_of_fields_break_no_answer(gateway: Gateway) -> None:
    """Whatever the caller writes there."""
    answer = gateway.chat(
        **{"a\r\nSet-Cookie: b": 1, "ü": 2, "x" * 300: 3, "": 4, **{f"field{n}": n for n in range(99)}}
    )
    assert answer.status == 200
    assert answer.headers["Set-Cookie"] is None
    assert len(answer.headers[IGNORED]) <= 256


@pytest.mark.parametrize("stream", [False, True])
def test_a_replay_names_them_again(gateway: Gateway, stream: bool) -> None:
    """An answer that is kept for its key is given as it was."""
    headers = {"Idempotency-Key": f"ignored-{stream}"}
    first, again = (gateway.chat(**FIELDS, stream=stream, headers=headers) for _ in range(2))
    assert again.headers["Idempotent-Replayed"] == "true"
    assert first.body == again.body
    assert first.headers[IGNORED] == again.headers[IGNORED]


def test_a_stream_that_begins_late_names_them_too(gateway: Gateway, provider: ScriptedProvider) -> None:
    """As far as is known after a second: the model that is asked first."""
    provider.enqueue(Hang())
    with gateway.open(body={"messages": [{"role": "user", "content": "hi"}], "stream": True, "store": True}) as answer:
        assert answer.headers[IGNORED] == "store"


def test_metadata_is_echoed(gateway: Gateway, provider: ScriptedProvider) -> None:
    """In the answer, and nowhere else: no provider is sent it."""
    assert gateway.chat(metadata={"ticket": "42"}).json["metadata"] == {"ticket": "42"}
    assert "metadata" not in provider.requests[0].body
    assert "metadata" not in gateway.chat().json


def test_a_session_is_one_cache(start_gateway: StartGateway, provider: ScriptedProvider) -> None:
    """OpenAI is sent a key of the session's own, unless the caller has one; it tells nothing of the session."""
    gateway = start_gateway(models=entry(provider, dialect="openai"))
    for fields in ({"user": "ann"}, {"user": "ann"}, {"user": "bob"}, {}, {"user": "ann", "prompt_cache_key": "mine"}):
        gateway.chat(**fields)
    first, again, other, none, mine = (request.body.get("prompt_cache_key") for request in provider.requests)
    assert first == again != other
    assert "ann" not in first
    assert (none, mine) == (None, "mine")
