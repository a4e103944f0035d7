"""A provider's refusal turned into the gateway's own error: the caller learns what went wrong, and no secret."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from typing import Any

import orjson

from app.errors import ProviderAuthError, ProviderError, ProviderRateLimit, ProviderRefused
from app.providers.upstream import Answer

log = logging.getLogger("gateway.providers")

MAX_TEXT = 2000


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
    text = _text(answer.body(), secrets)
    log.warning("provider %s answered %d: %s", provider, status, text)
    if status in (400, 413, 422):
        raise ProviderRefused(text or f"provider {provider} refused the request")
    if status in (401, 403):
        raise ProviderAuthError(
            f"provider {provider} refused the gateway's key; the operator has to set models.providers.{provider}.apiKey"
        )
    if status == 429:
        retry_after = answer.header("Retry-After")
        raise ProviderRateLimit(
            f"provider {provider} limits the rate: {text}" if text else f"provider {provider} limits the rate",
            headers={"Retry-After": retry_after} if retry_after and retry_after.isascii() else None,
        )
    what = f"provider {provider} answered {status}" + (f": {text}" if text else "")
    raise ProviderError(what) if status >= 500 or status == 408 else ProviderFault(what)


def _text(body: bytes, secrets: Sequence[str]) -> str:
    try:
        parsed = orjson.loads(body)
    except orjson.JSONDecodeError:
        # Pages of proxies in between: nothing in them helps a caller.
        return ""
    return error_text(parsed.get("error", parsed) if isinstance(parsed, dict) else parsed, secrets)
