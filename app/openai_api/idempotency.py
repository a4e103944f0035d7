"""``Idempotency-Key``: a request that is sent again gets the answer that it got before, and nothing is done twice."""

from __future__ import annotations

import hashlib
import logging
import re
from typing import Any

from flask import Response

from app import large_json
from app.auth import Caller
from app.concurrency.slices import give_way
from app.errors import Conflict, InvalidRequest
from app.http.envelope import JSON
from app.large_json import STEP
from app.sessions.answers import AnswerRecord, AnswerStore, Claim, KeptAnswer, KeyInUse, KeyReused

log = logging.getLogger("gateway.http")

# Bytes. A longer answer is not kept.
MAX_KEPT = 8 * 1024 * 1024

_KEY = re.compile(r"[\x21-\x7e]{1,255}")
# What decides about the answer beside the body.
_HEADERS = (
    "HTTP_X_OPENCLAW_AGENT_ID",
    "HTTP_X_OPENCLAW_AGENT",
    "HTTP_X_OPENCLAW_SESSION_KEY",
    "HTTP_X_OPENCLAW_MODEL",
)


def claim(
    store: AnswerStore,
    environ: dict[str, Any],
    caller: Caller,
    route: str,
    body: dict[str, Any],
    *,
    stateless: bool = False,
) -> Claim | KeptAnswer | None:
    """What the request's key has: an answer already, the claim to make it, or None without a key.

    stateless: the request leaves nothing behind, so it goes on where nobody can say whether it was answered already.
    Raises InvalidRequest for a malformed key, Conflict where it belongs to another request or is being answered,
    StorageUnavailable.
    """
    key = environ.get("HTTP_IDEMPOTENCY_KEY")
    if key is None:
        return None
    if not _KEY.fullmatch(key):
        raise InvalidRequest(
            "the header Idempotency-Key must be 1 to 255 visible ASCII characters", param="Idempotency-Key"
        )
    scoped = _digest([caller.mode, caller.identity, route, key])
    try:
        request = _digest([body, *(environ.get(name) for name in _HEADERS)])
    except TypeError:
        # A field that the gateway ignores may be deeper than what is ever written.
        raise InvalidRequest("with an Idempotency-Key the body must be nested 250 levels deep at most") from None
    try:
        return store.claim(scoped, request, must_know=not stateless)
    except KeyReused:
        raise Conflict(
            "this Idempotency-Key was used for another request; take a new key for a new request",
            code="idempotency_key_reused",
            headers={"x-should-retry": "false"},
        ) from None
    except KeyInUse:
        raise Conflict(
            "the request with this Idempotency-Key is still being answered",
            code="idempotency_key_in_use",
            headers={"Retry-After": "1"},
        ) from None


def replay(kept: KeptAnswer) -> Response:
    """The answer again, byte for byte."""
    response = Response(kept.body)
    response.headers.update({"Content-Type": JSON, **kept.headers, "Idempotent-Replayed": "true"})
    return response


def record_of(claimed: Claim, headers: dict[str, str], body: bytes) -> AnswerRecord | None:
    """What is stored of a success before its caller sees the end of it; None for one that is too long."""
    if len(body) <= MAX_KEPT:
        return claimed.record(KeptAnswer(headers, body))
    log.info("an answer of %d bytes is not kept for its Idempotency-Key", len(body))
    return None


def _digest(value: Any) -> str:
    """Cooperative where the value is large. Raises TypeError."""
    digest, waiting = hashlib.sha256(), 0
    for piece in large_json.pieces(value):
        for start in range(0, len(piece), STEP):
            part = piece[start : start + STEP]
            digest.update(part)
            waiting += len(part)
            if waiting >= STEP:
                waiting = 0
                give_way()
    return digest.hexdigest()
