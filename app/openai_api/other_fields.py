"""Fields of a request that the gateway does nothing with itself: a provider may take them, or nobody does.

Operators say with ``passFields`` which of them a provider is sent; ``request_fields`` has what is usual. Whoever sends
one that nobody took is told so by a header: silence would leave them guessing.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Mapping, Set
from itertools import islice
from types import MappingProxyType
from typing import Any
from urllib.parse import quote

import orjson

from app.agents.run import Run
from app.errors import InvalidRequest
from app.http.fields import may_fit
from app.openai_api.schemas import FIELDS
from app.providers import request_fields

log = logging.getLogger("gateway.http")

HEADER = "x-openclaw-ignored-fields"
# Bytes of the header's value, and of a name in it: the caller chooses them.
MAX_HEADER, MAX_NAME = 256, 64
# Fields of one request that are looked at; nobody sends more.
MOST = 100
# Bytes of one field's JSON, and its levels.
MAX_SIZE, MAX_DEPTH = 64 * 1024, 32

_NONE: Mapping[str, Any] = MappingProxyType({})

# What every provider is sent. Where a caller asks for nothing else, nothing can have been ignored.
_APIS = ("openai-completions", "openai-responses", "anthropic-messages")
_EVERYWHERE = frozenset.intersection(*(request_fields.taken(api, openai=False, pass_fields=()) for api in _APIS))

_LETTERS = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_.-"


def others_of(body: Mapping[str, Any]) -> Mapping[str, Any]:
    """Fields of a request body that its schema does not know; null is as absent."""
    unknown = body.keys() - FIELDS
    if not unknown:
        return _NONE
    return dict(islice(((name, body[name]) for name in body if name in unknown and body[name] is not None), MOST))


def passable(others: Mapping[str, Any], taken: Callable[[], frozenset[str]]) -> dict[str, Any]:
    """Those of ``others`` that a provider may be sent.

    taken: names of the fields that the model is sent which is asked first. Raises InvalidRequest for one of these that
    is too large or too deep; any other such field is left out.
    """
    found = {}
    for name, value in others.items():
        if name in request_fields.NEVER:
            continue
        if _is_bounded(value):
            found[name] = value
        elif name in taken():
            reason = f"must be JSON of {MAX_SIZE:,} bytes and {MAX_DEPTH} levels at most"
            raise InvalidRequest(f"{name}: {reason}", param=name)
    return found


def ignored_by(run: Run, others: Set[str]) -> list[str]:
    """Names of what the request asked for in vain: the model that answers is not sent it. others: as ``others_of``."""
    turn = run.turn
    if not others and turn.sampling.keys() <= _EVERYWHERE:
        return []
    sent = run.runs.catalogue.taken(run.model)
    if "prediction" in sent and (turn.tools or (run.offer is not None and run.offer.wire)):
        sent -= {"prediction"}  # OpenAI refuses it beside tools, and the provider leaves it out
    # What was too large was not passed on, whoever takes it.
    return sorted((turn.sampling.keys() - sent).union(others - turn.sampling.keys()))


def header_of(run: Run, ignored: Iterable[str]) -> dict[str, str]:
    """The header that names these fields, as far as there is room; none without any."""
    value = ""
    for name in ignored:
        shown = quote(name, safe=_LETTERS)
        if 0 < len(shown) <= MAX_NAME and len(value) + len(shown) < MAX_HEADER:
            value += f",{shown}" if value else shown
    if not value:
        return {}
    log.debug("run %s: fields of its request are ignored: %s", run.id, value)
    return {HEADER: value}


def _is_bounded(value: Any) -> bool:
    if not isinstance(value, str | list | dict):
        return True
    if not may_fit(value, MAX_SIZE):
        return False
    try:
        return len(orjson.dumps(value)) <= MAX_SIZE and _is_flat(value, MAX_DEPTH)
    except TypeError:
        return False  # deeper than anything that is ever written


def _is_flat(value: Any, levels: int) -> bool:
    inner = value.values() if isinstance(value, dict) else value if isinstance(value, list) else None
    return inner is None or (levels > 0 and all(_is_flat(each, levels - 1) for each in inner))
