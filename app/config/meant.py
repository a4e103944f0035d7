"""Whom a policy for a model or for a caller means, however it writes the name: in doubt it is meant."""

from __future__ import annotations

import re

from app.config.matching import folded, matches
from app.config.well_known import WELL_KNOWN

_NOT_IN_NAMES = re.compile(r"[^a-z0-9]+")


def is_model(reference: str, name: str) -> bool:
    """Whether a ``provider/model`` is one that ``name`` means: a provider, a model with it or alone, or a pattern.

    A provider is known under every name that it has, and however its name is written: ``z.ai`` is ``zai``.
    """
    reference, name = folded(reference), folded(name)
    provider, _, model = reference.partition("/")
    provider, model = provider.strip(), model.strip()
    alone = model.rpartition("/")[2]
    if "*" in name:
        return any(matches(each, name) for each in (reference, provider, model, alone))
    of, _, id = name.partition("/")
    if _is_provider(provider, of) and id.strip() in ("", model):
        return True
    return bool(name) and name in (model, alone)


def _is_provider(provider: str, name: str) -> bool:
    if _bare(provider) == _bare(name):
        return bool(_bare(provider)) or provider == name
    known, named = (WELL_KNOWN.get(each) or WELL_KNOWN.get(_bare(each)) for each in (provider, name))
    return known is not None and named is not None and known.base_url == named.base_url


def _bare(provider: str) -> str:
    return _NOT_IN_NAMES.sub("", provider)


def is_caller(identity: str, name: str) -> bool:
    """Whether a user of the proxy may be the one whom ``name`` means.

    ``@ann`` and ``Ann`` are ``ann``; who is named without a domain is meant in every domain.
    """
    one, other = (folded(each).removeprefix("@").strip() for each in (identity, name))
    if ("@" in one) != ("@" in other):
        one, other = one.partition("@")[0], other.partition("@")[0]
    return one == other
