"""What a provider's statuses mean for the gateway's caller, and that no secret is told."""

from __future__ import annotations

import json
import logging
from typing import Any

import pytest

from app.errors import ProviderAuthError, ProviderError, ProviderRateLimit, ProviderRefused
from app.providers.faults import MAX_TEXT, ProviderFault, error_text
from app.providers.openai_completions import OpenAICompletions
from tests.providers.scene import call, collected, upstream
from tests.scripted import ErrorInStream, ScriptedProvider, Status

KEY = "sk-proj-0123456789abcdef"


def fault(provider: ScriptedProvider, step: Any, **headers: str) -> ProviderError:
    provider.enqueue(step)
    sent = {"Authorization": f"Bearer {KEY}", **headers}
    with pytest.raises(ProviderError) as raised:
        collected(OpenAICompletions(upstream(provider.base_url, headers=sent)).stream(call()))
    return raised.value


@pytest.mark.parametrize(
    ("code", "kind", "status", "type_", "retryable"),
    [
        (400, ProviderRefused, 400, "invalid_request_error", False),
        (413, ProviderRefused, 400, "invalid_request_error", False),
        (422, ProviderRefused, 400, "invalid_request_error", False),
        (401, ProviderAuthError, 502, "upstream_auth_error", False),
        (403, ProviderAuthError, 502, "upstream_auth_error", False),
        (429, ProviderRateLimit, 429, "rate_limit_error", False),
        (404, ProviderFault, 502, "upstream_error", False),
        (402, ProviderFault, 502, "upstream_error", False),
        (302, ProviderFault, 502, "upstream_error", False),
        (408, ProviderError, 502, "upstream_error", True),
        (500, ProviderError, 502, "upstream_error", True),
        (503, ProviderError, 502, "upstream_error", True),
        (529, ProviderError, 502, "upstream_error", True),
    ],
)
def test_statuses(
    provider: ScriptedProvider, code: int, kind: type[ProviderError], status: int, type_: str, retryable: bool
) -> None:
    """Each status has its own answer, and says whether another try may help."""
    error = fault(provider, Status(code, "scripted words"))
    assert type(error) is kind
    assert (error.status, error.type, error.retryable) == (status, type_, retryable)


@pytest.mark.parametrize("code", [400, 429, 404, 500])
def test_the_providers_words_reach_the_caller(provider: ScriptedProvider, code: int) -> None:
    """What the provider says is wrong is told."""
    assert "context is too long" in fault(provider, Status(code, "context is too long")).message


def test_a_refused_key_is_the_operators_matter(provider: ScriptedProvider) -> None:
    """The caller's own key is fine: the message says where the operator sets the other, not what the provider said."""
    message = fault(provider, Status(401, f"Incorrect API key provided: {KEY}")).message
    assert "models.providers.scripted.apiKey" in message
    assert "Incorrect" not in message


@pytest.mark.parametrize("value", ["7", "Wed, 21 Oct 2026 07:28:00 GMT"])
def test_retry_after_is_passed_on(provider: ScriptedProvider, value: str) -> None:
    """The provider's own time reaches the caller as it stands."""
    assert fault(provider, Status(429, headers={"Retry-After": value})).headers == {"Retry-After": value}


@pytest.mark.parametrize("headers", [{}, {"Retry-After": "caf\xe9"}])
def test_a_retry_after_that_says_nothing_is_left_out(provider: ScriptedProvider, headers: dict[str, str]) -> None:
    """Absent or outside ASCII, there is no header rather than a broken one."""
    assert fault(provider, Status(429, headers=headers)).headers == {}


@pytest.mark.parametrize("code", [400, 422, 429, 404, 500])
def test_the_gateways_key_is_in_no_message(
    provider: ScriptedProvider, caplog: pytest.LogCaptureFixture, code: int
) -> None:
    """A provider that repeats the key doesn't tell it to callers, nor to the log."""
    caplog.set_level(logging.DEBUG)
    error = fault(provider, Status(code, f"key {KEY} has no access"))
    assert "key *** has no access" in error.message
    assert KEY not in caplog.text


def test_other_secret_headers_are_in_no_message(provider: ScriptedProvider) -> None:
    """A key that goes under another header is as secret as the first."""
    step = Status(400, "header other-secret-0123 is unknown, so is raw-secret-0123")
    headers = {"X-Api-Key": "other-secret-0123", "Authorization": "raw-secret-0123"}
    assert fault(provider, step, **headers).message == "header *** is unknown, so is ***"


def test_the_key_is_in_no_error_of_a_stream(provider: ScriptedProvider) -> None:
    """An error event is cleaned as a status is."""
    assert KEY not in fault(provider, ErrorInStream(f"bad key {KEY}")).message


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"<html>Bad gateway</html>",
        b"{",
        b"null",
        b"{}",
        b"[]",
        b'""',
        b'{"error":null}',
        b'{"error":{}}',
        b"\xff\xfe",
    ],
)
def test_a_body_that_says_nothing(provider: ScriptedProvider, body: bytes) -> None:
    """Pages of proxies and empty bodies leave the status alone to speak."""
    assert fault(provider, Status(500, body=body)).message == "provider scripted answered 500"
    assert fault(provider, Status(400, body=body)).message == "provider scripted refused the request"
    assert fault(provider, Status(429, body=body)).message == "provider scripted limits the rate"


@pytest.mark.parametrize(
    ("body", "text"),
    [
        ({"error": {"message": "no"}}, "no"),
        ({"error": "no"}, "no"),
        ({"message": "no"}, "no"),
        ("no", "no"),
        ({"detail": "no"}, "{'detail': 'no'}"),
        ({"error": {"message": None, "code": 7}}, "{'message': None, 'code': 7}"),
    ],
)
def test_words_of_other_shapes_are_found(provider: ScriptedProvider, body: Any, text: str) -> None:
    """Servers that don't speak OpenAI's error shape are understood where they can be."""
    assert fault(provider, Status(400, body=json.dumps(body).encode())).message == text


def test_a_long_text_is_cut() -> None:
    """A caller doesn't get pages, and a secret isn't halved at the cut."""
    assert len(error_text({"message": "x" * 100_000}, ())) == MAX_TEXT
    assert "sk-proj" not in error_text({"message": "x" * (MAX_TEXT - 8) + KEY}, (KEY,))


def test_an_answer_with_200_is_no_fault(provider: ScriptedProvider) -> None:
    """The usual case raises nothing."""
    assert collected(OpenAICompletions(upstream(provider.base_url)).stream(call()))
