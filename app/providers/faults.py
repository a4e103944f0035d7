"""A provider's refusal turned into the gateway's own error: the caller learns what went wrong, and no secret."""

from __future__ import annotations

import logging
import re
from collections.abc import Sequence
from typing import Any

import orjson

from app.errors import (
    ContextOverflow,
    ProviderAuthError,
    ProviderError,
    ProviderOutOfCredit,
    ProviderRateLimit,
    ProviderRefused,
)
from app.providers.upstream import Answer

log = logging.getLogger("gateway.providers")

MAX_TEXT = 2000

# Codes and types of an error inside a stream, as the status that the same error has before one.
# https://platform.claude.com/docs/en/api/errors, https://platform.openai.com/docs/guides/error-codes
_STATUSES = {
    "invalid_request_error": 400,
    "authentication_error": 401,
    "invalid_api_key": 401,
    "billing_error": 402,
    "permission_error": 403,
    "not_found_error": 404,
    "rate_limit_error": 429,
    "rate_limit_exceeded": 429,
}
# The Responses API has a code for each thing that may be wrong with a request, most of them with images.
_REFUSAL = re.compile(r"(invalid|unsupported|image|empty_image|failed_to_download)_|\w*policy")

_OVERFLOW_CODES = {"context_length_exceeded", "exceed_context_size_error", "request_too_large"}
_OVERFLOW = re.compile(
    r"prompt is too long|prompt too long|input is too long"
    r"|maximum context length|max context length|maximum prompt length"
    r"|(exceed\w*|longer than|greater than|larger than|too large for) (\S+ ){0,6}context"
    r"|context (window|length|size|limit) (\S+ ){0,3}exceed"
    r"|input token count \S* ?exceeds|exceeded model token limit"
    r"|reduce the length of (the|your) (messages|prompt|input)",
    re.IGNORECASE,
)
# A limit of the answer is not cured by a shorter conversation, though the same sentence may name the window.
_ANSWER_TOO_LONG = re.compile(r"max_(completion_|output_)?tokens\S* (\S+ ){0,3}is too large", re.IGNORECASE)

_CREDIT_CODES = {"insufficient_quota", "billing_error", "billing_hard_limit_reached", "insufficient_balance"}
_CREDIT = re.compile(
    r"credit balance is too low|insufficient (account )?(balance|credit|fund)|more credits|out of credits",
    re.IGNORECASE,
)


class ProviderFault(ProviderError):
    """A status that trying again won't change."""

    retryable = False


def error_text(error: Any, secrets: Sequence[str]) -> str:
    """The provider's own words from the ``error`` member of its JSON, cut and without the gateway's secrets."""
    message = error.get("message") if isinstance(error, dict) else error
    text = str(message or error or "")
    for secret in secrets:
        text = text.replace(secret, "***")
    return text[:MAX_TEXT]


def raise_for_status(provider: str, answer: Answer, secrets: Sequence[str]) -> None:
    """Raise what a status other than 200 means for the gateway's caller. secrets: never shown, see ``Upstream``."""
    status = answer.status
    if status == 200:
        return
    error = _error(answer.body())
    text = error_text(error, secrets)
    log.warning("provider %s answered %d: %s", provider, status, text)
    fault = _fault(provider, f"answered {status}", status, error, text)
    retry_after = answer.header("Retry-After")
    if isinstance(fault, ProviderRateLimit) and retry_after and retry_after.isascii():
        fault.headers["Retry-After"] = retry_after
    raise fault


def stream_fault(provider: str, error: Any, secrets: Sequence[str]) -> ProviderError:
    """What an error inside a stream means. error: the event's error object; one of unknown kind may pass by itself."""
    text = error_text(error, secrets)
    log.warning("provider %s failed in its stream: %s", provider, text)
    return _fault(provider, "failed", _status(error), error, text)


def _status(error: Any) -> int:
    """The status that the error would have had before the stream; 500 when it is of no known kind."""
    code = error.get("code") if isinstance(error, dict) else None
    if isinstance(code, int) and 400 <= code < 600:
        return code
    for word in _words(error):
        if word in _STATUSES:
            return _STATUSES[word]
        if _REFUSAL.match(word):
            return 400
    return 500


def _fault(provider: str, what: str, status: int, error: Any, text: str) -> ProviderError:
    words = set(_words(error))
    if status in (401, 403) and not _CREDIT.search(text):
        return ProviderAuthError(
            f"provider {provider} refused the gateway's key; the operator has to set models.providers.{provider}.apiKey"
        )
    if status == 402 or words & _CREDIT_CODES or _CREDIT.search(text):
        return ProviderOutOfCredit(
            f"provider {provider} has no credit left for the gateway; the operator has to top it up"
            + (f": {text}" if text else "")
        )
    if status == 429:
        return ProviderRateLimit(f"provider {provider} limits the rate" + (f": {text}" if text else ""))
    if words & _OVERFLOW_CODES or (_OVERFLOW.search(text) and not _ANSWER_TOO_LONG.search(text)):
        return ContextOverflow(text)
    if status in (400, 413, 422):
        return ProviderRefused(text or f"provider {provider} refused the request")
    message = f"provider {provider} {what}" + (f": {text}" if text else "")
    return ProviderError(message) if status >= 500 or status == 408 else ProviderFault(message)


def _words(error: Any) -> tuple[str, ...]:
    """The error's code and type, where they are words; the code says more."""
    if not isinstance(error, dict):
        return ()
    return tuple(word for word in (error.get("code"), error.get("type")) if isinstance(word, str))


def _error(body: bytes) -> Any:
    """The error of a refusal's body, whatever shape the server gives it; None when it says nothing."""
    try:
        parsed = orjson.loads(body)
    except orjson.JSONDecodeError:
        # Pages of proxies in between: nothing in them helps a caller.
        return None
    if isinstance(parsed, list) and len(parsed) == 1:
        parsed = parsed[0]
    return parsed.get("error", parsed) if isinstance(parsed, dict) else parsed
