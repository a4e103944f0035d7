"""A provider's refusal turned into the gateway's own error: the caller learns what went wrong, and no secret."""

from __future__ import annotations

import logging
import re
from collections.abc import Sequence
from typing import Any

from app.errors import (
    ContextOverflow,
    ProviderAuthError,
    ProviderError,
    ProviderFault,
    ProviderOutOfCredit,
    ProviderRateLimit,
    ProviderRefused,
)
from app.providers.error_bodies import error_of, error_status, error_text, error_words
from app.providers.retry_after import retry_after
from app.providers.upstream import Answer

log = logging.getLogger("gateway.providers")

# Codes and types of an error inside a stream, as the status that the same error has before one.
# https://platform.claude.com/docs/en/api/errors, https://platform.openai.com/docs/guides/error-codes,
# https://cloud.google.com/apis/design/errors, https://help.aliyun.com/zh/model-studio/error-code
_STATUSES = {
    "invalid_request_error": 400,
    "badrequesterror": 400,
    "invalid_argument": 400,
    "invalidparameter": 400,
    "authentication_error": 401,
    "authenticationerror": 401,
    "unauthenticated": 401,
    "unauthorized": 401,
    "invalid_api_key": 401,
    "invalidapikey": 401,
    "api_key_invalid": 401,
    "billing_error": 402,
    "permission_error": 403,
    "permission_denied": 403,
    "not_found_error": 404,
    "notfounderror": 404,
    "model_not_found": 404,
    "rate_limit_error": 429,
    "rate_limit_exceeded": 429,
    "ratelimiterror": 429,
    "resource_exhausted": 429,
    "too_many_requests": 429,
    "throttling": 429,
}
# The server's own, whatever the code besides says it was about.
_OWN_FAULTS = frozenset({"server_error", "internal_error", "internal_server_error"})
# The Responses API has a code for each thing that may be wrong with a request, most of them with images.
_REFUSAL = re.compile(r"(invalid|unsupported|image|empty_image|failed_to_download)_|\w*policy")

_AUTH_CODES = {"invalid_api_key", "invalidapikey", "api_key_invalid", "authentication_error", "incorrect_api_key"}
_AUTH = re.compile(
    r"(invalid|incorrect|wrong|missing|no|expired) (api[ _-]?key|authentication|credentials|token provided)"
    r"|api[ _-]?key (is )?(not valid|invalid|missing|expired|not found|required)|^unauthorized",
    re.IGNORECASE,
)
_RATE_CODES = {"rate_limit_exceeded", "rate_limit_error"}
_QUOTA = re.compile(r"quota|rate.?limit|too many requests|resource.exhausted|throttl", re.IGNORECASE)
_REGION = re.compile(
    r"(country|region|territory|location)\b[^.:]{0,30}\bnot (yet )?(supported|available|allowed)"
    r"|not (supported|available|allowed|served) in (your|this) (country|region|location)"
    r"|unsupported (country|region)",
    re.IGNORECASE,
)
_QUOTED = re.compile(r"'[^']*'|\"[^\"]*\"|`[^`]*`|\{.*\}", re.DOTALL)
_MODERATION = re.compile(r"moderation|flagged|content.(policy|filter|management)|safety (system|policy)", re.IGNORECASE)

_OVERFLOW_CODES = {"context_length_exceeded", "exceed_context_size_error", "request_too_large"}
_OVERFLOW = re.compile(
    r"prompt is too long|prompt too long|input is too long"
    r"|maximum context length|max context length|maximum prompt length"
    r"|(exceed\w*|longer than|greater than|larger than|too large for) (\S+ ){0,6}context"
    r"|context (window|length|size|limit) (\S+ ){0,3}exceed"
    r"|input token count \S* ?exceeds|exceeded model token limit"
    r"|reduce the length of (the|your) (messages|prompt|input)|too many tokens in (the|your) (prompt|input)"
    r"|`inputs` tokens \+ `max_new_tokens` must be|input length (\S+ ){0,4}exceed|range of input length should be"
    r"|input tokens exceed",
    re.IGNORECASE,
)
# A limit of the answer is not cured by a shorter conversation, though the same sentence may name the window.
_ANSWER_TOO_LONG = re.compile(r"max_(completion_|output_)?tokens\S* (\S+ ){0,3}is too large", re.IGNORECASE)

_CREDIT_CODES = {
    "insufficient_quota",
    "arrearage",
    "payment_required",
    "insufficient_funds",
    "billing_error",
    "billing_hard_limit_reached",
    "insufficient_balance",
}
_CREDIT = re.compile(
    r"credit balance is too low|insufficient (account )?(balance|credit|fund)|out of credits"
    r"|balance (is )?(insufficient|not enough|exhausted)|payment required|in arrears"
    r"|\u4f59\u989d\u4e0d\u8db3|\u6b20\u8d39",
    re.IGNORECASE,
)


def raise_for_status(provider: str, answer: Answer, secrets: Sequence[str]) -> None:
    """Raise what a status other than 200 means for the gateway's caller. secrets: never shown, see ``Upstream``."""
    status = answer.status
    if status == 200:
        return
    body = answer.body()
    error = error_of(body)
    text = error_text(error, secrets)
    log.warning("provider %s answered %d: %s", provider, status, text)
    if status == 403 and error is None and body.strip():
        # A page of what stands before the provider: it says nothing of the key.
        raise ProviderFault(f"provider {provider} answered 403 with a web page: something before it refuses")
    fault = _fault(provider, f"answered {status}", status, error, text)
    if isinstance(fault, ProviderRateLimit) and (when := retry_after(answer.header("Retry-After"))):
        fault.headers["Retry-After"] = when
    raise fault


def stream_fault(provider: str, error: Any, secrets: Sequence[str]) -> ProviderError:
    """What an error inside a stream, or in a 200, means; one of unknown kind may pass by itself."""
    text = error_text(error, secrets)
    log.warning("provider %s failed in its stream: %s", provider, text)
    return _fault(provider, "failed", _status(error), error, text)


def _status(error: Any) -> int:
    """The status that the error would have had before the stream; 500 when it is of no known kind."""
    if (status := error_status(error)) is not None:
        return status
    words = tuple(error_words(error))
    if _OWN_FAULTS.intersection(words):
        return 500
    for word in words:
        if word in _STATUSES:
            return _STATUSES[word]
        if _REFUSAL.match(word):
            return 400
    return 500


def _lacks_credit(status: int, text: str, words: set[str]) -> bool:
    limited = status == 429 and (bool(words & _RATE_CODES) or "rate limit" in text.lower())
    return bool(_CREDIT.search(text)) or ("more credits" in text.lower() and not limited)


def _fault(provider: str, what: str, status: int, error: Any, text: str) -> ProviderError:
    words = set(error_words(error))
    told = f": {text}" if text else ""
    # Names and values in it are the request's, and say nothing of the fault.
    bare = _QUOTED.sub(" ", text)
    if status == 402 or words & _CREDIT_CODES or _lacks_credit(status, bare if status in (400, 422) else text, words):
        return ProviderOutOfCredit(
            f"provider {provider} has no credit left for the gateway; the operator has to top it up{told}"
        )
    if (status in (400, 403, 451) and _REGION.search(bare)) or "unsupported_country_region_territory" in words:
        return ProviderFault(f"provider {provider} does not serve the gateway's region{told}")
    if status == 403 and _QUOTA.search(" ".join((bare, *words))):
        return ProviderRateLimit(f"provider {provider} limits the rate{told}")
    if status == 403 and _MODERATION.search(" ".join((bare, *words))):
        return ProviderRefused(text)
    if status in (401, 403) or words & _AUTH_CODES or (status == 400 and _AUTH.search(bare)):
        # What it says of a key may hold a part of it; what it says of permissions helps the operator.
        return ProviderAuthError(
            f"provider {provider} refused the gateway's key; the operator has to set models.providers.{provider}.apiKey"
            + (told if status == 403 else "")
        )
    if status == 429 or (status == 413 and words & _RATE_CODES):
        return ProviderRateLimit(f"provider {provider} limits the rate{told}")
    if words & _OVERFLOW_CODES or (_OVERFLOW.search(text) and not _ANSWER_TOO_LONG.search(text)):
        return ContextOverflow(text)
    if status in (400, 413, 422):
        return ProviderRefused(text or f"provider {provider} refused the request")
    message = f"provider {provider} {what}{told}"
    return ProviderError(message) if status >= 500 or status == 408 else ProviderFault(message)
