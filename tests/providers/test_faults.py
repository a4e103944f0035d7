"""What a provider's statuses mean for the gateway's caller, and that no secret is told."""

from __future__ import annotations

import json
import logging
from typing import Any

import pytest

from app.errors import (
    ContextOverflow,
    ProviderAuthError,
    ProviderError,
    ProviderFault,
    ProviderOutOfCredit,
    ProviderRateLimit,
    ProviderRefused,
)
from app.providers.error_bodies import MAX_TEXT, error_text
from app.providers.faults import stream_fault
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
        (402, ProviderOutOfCredit, 502, "upstream_error", False),
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
        b'[{"error":null}]',
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
        ([{"error": {"message": "no"}}], "no"),
        ("no", "no"),
        ({"detail": "no"}, "no"),
        ({"error": {"message": None, "code": 7}}, '{"message":null,"code":7}'),
    ],
)
def test_words_of_other_shapes_are_found(provider: ScriptedProvider, body: Any, text: str) -> None:
    """Servers that don't speak OpenAI's error shape are understood where they can be."""
    assert fault(provider, Status(400, body=json.dumps(body).encode())).message == text


# Windows that are too small. Texts as the providers send them.


@pytest.mark.parametrize(
    ("status", "error"),
    [
        (400, {"code": "context_length_exceeded", "message": "too long"}),
        (400, {"message": "This model's maximum context length is 8192 tokens. However, you requested 9000"}),
        (400, {"message": "Your input exceeds the context window of this model. Please adjust your input."}),
        (400, {"type": "invalid_request_error", "message": "prompt is too long: 207791 tokens > 200000 maximum"}),
        (400, {"message": "input length and `max_tokens` exceed context limit: 190000 + 20000 > 200000"}),
        (413, {"type": "request_too_large", "message": "Request exceeds the maximum size"}),
        (400, {"code": 400, "message": "the request exceeds the available context size, try increasing it"}),
        (400, {"code": 400, "type": "exceed_context_size_error", "message": "no"}),
        (500, {"message": "request (9000 tokens) exceeds the available context size (4096 tokens)"}),
        (400, {"code": 400, "message": "This endpoint's maximum context length is 131072 tokens. However, you"}),
        (400, {"message": "Prompt contains 65673 tokens, too large for model with 32768 maximum context length"}),
        (400, {"message": "Please reduce the length of the messages or completion."}),
        (400, {"message": "prompt too long; exceeded max context length by 4 tokens"}),
        (400, {"message": "the input length exceeds the context length"}),
        (422, {"message": "The input (516368 tokens) is longer than the model's context length (262144 tokens)."}),
        (400, {"message": "The number of tokens to keep from the initial prompt is greater than the context length"}),
        (400, {"message": "The input token count (1196265) exceeds the maximum number of tokens allowed (1048575)"}),
        (400, {"message": "This model's maximum prompt length is 131072 but the request contains 537812 tokens."}),
        (400, {"message": "invalid params, context window exceeds limit"}),
        (400, {"message": "Your request exceeded model token limit: 262144 (requested: 291351)"}),
        (400, {"message": "Input is too long for requested model."}),
    ],
)  # fmt: skip
def test_a_conversation_that_is_too_long(provider: ScriptedProvider, status: int, error: dict[str, Any]) -> None:
    """Each provider says it in its own words; the gateway has one, before a stream and in it."""
    found = fault(provider, Status(status, body=json.dumps({"error": error}).encode()))
    assert type(found) is ContextOverflow
    assert (found.code, found.message) == ("context_length_exceeded", error["message"])
    assert type(stream_fault("p", error, ())) is ContextOverflow


@pytest.mark.parametrize(
    ("status", "message"),
    [
        (400, "max_tokens is too large: 100000. This model supports at most 16384 completion tokens"),
        (400, "'max_tokens' or 'max_completion_tokens' is too large: 5000. The model's maximum context length is 4096"),
        (400, "max_tokens: 100000 > 64000, which is the maximum allowed number of output tokens"),
        (400, "image exceeds 5 MB maximum"),
        (400, "unknown field context"),
        (429, "Request too large for gpt-4 on tokens per min (TPM): Limit 10000, Requested 12000."),
        (429, "This request would exceed your organization's rate limit of 40,000 input tokens per minute"),
        (401, "maximum context length"),
    ],
)  # fmt: skip
def test_what_is_not_about_the_window(provider: ScriptedProvider, status: int, message: str) -> None:
    """Limits of the answer, of images, of the rate: a shorter conversation would not help."""
    assert not isinstance(fault(provider, Status(status, message)), ContextOverflow)


# Credit.


@pytest.mark.parametrize(
    ("status", "error"),
    [
        (402, {"message": "Insufficient Balance"}),
        (402, {"message": "This request requires more credits, or fewer max_tokens."}),
        (400, {"type": "invalid_request_error", "message": "Your credit balance is too low to access the API."}),
        (429, {"code": "insufficient_quota", "type": None, "message": "You exceeded your current quota"}),
        (403, {"type": "billing_error", "message": "Your credit balance is too low"}),
    ],
)  # fmt: skip
def test_an_empty_account(provider: ScriptedProvider, status: int, error: dict[str, Any]) -> None:
    """It is the operator's matter, and waiting a second doesn't fill it."""
    found = fault(provider, Status(status, body=json.dumps({"error": error}).encode()))
    assert type(found) is ProviderOutOfCredit
    assert (found.status, found.code, found.retryable) == (502, "insufficient_quota", False)
    assert error["message"] in found.message


def test_a_quota_of_the_minute_is_no_empty_account(provider: ScriptedProvider) -> None:
    """Some providers speak of quota and billing when the rate is meant; their code doesn't."""
    body = {"error": {"code": 429, "message": "You exceeded your current quota, please check your plan and billing"}}
    assert type(fault(provider, Status(429, body=json.dumps(body).encode()))) is ProviderRateLimit


# Errors inside a stream.


@pytest.mark.parametrize(
    ("error", "kind", "retryable"),
    [
        ({"type": "overloaded_error", "message": "Overloaded"}, ProviderError, True),
        ({"type": "api_error", "message": "broke"}, ProviderError, True),
        ({"message": "broke"}, ProviderError, True),
        ("broke", ProviderError, True),
        (None, ProviderError, True),
        ({"code": 502, "message": "broke"}, ProviderError, True),
        ({"code": 429, "message": "slow"}, ProviderRateLimit, False),
        ({"type": "rate_limit_error", "message": "slow"}, ProviderRateLimit, False),
        ({"code": "rate_limit_exceeded", "message": "slow"}, ProviderRateLimit, False),
        ({"type": "invalid_request_error", "message": "no"}, ProviderRefused, False),
        ({"code": 400, "type": "BadRequestError", "message": "no"}, ProviderRefused, False),
        ({"code": "invalid_api_key", "type": "invalid_request_error", "message": "no"}, ProviderAuthError, False),
        ({"type": "permission_error", "message": "no"}, ProviderAuthError, False),
        ({"type": "not_found_error", "message": "no"}, ProviderFault, False),
        ({"code": "insufficient_quota", "message": "pay"}, ProviderOutOfCredit, False),
    ],
)
def test_an_error_in_a_stream_keeps_its_kind(error: Any, kind: type[ProviderError], retryable: bool) -> None:
    """What is known of it decides; what is not known may pass by itself."""
    found = stream_fault("p", error, ())
    assert (type(found), found.retryable) == (kind, retryable)


def test_a_long_text_is_cut() -> None:
    """A caller doesn't get pages, and a secret isn't halved at the cut."""
    assert len(error_text({"message": "x" * 100_000}, ())) == MAX_TEXT
    assert "sk-proj" not in error_text({"message": "x" * (MAX_TEXT - 8) + KEY}, (KEY,))


def test_an_answer_with_200_is_no_fault(provider: ScriptedProvider) -> None:
    """The usual case raises nothing."""
    assert collected(OpenAICompletions(upstream(provider.base_url)).stream(call()))
