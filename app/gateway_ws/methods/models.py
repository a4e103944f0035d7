"""``models.list``: which models there are, and whether they answer."""

from __future__ import annotations

import time
from typing import Any

from app.auth import READ
from app.concurrency.slices import taking_turns
from app.config.settings import LOCAL_MODEL, Provider, Settings
from app.config.well_known import WELL_KNOWN
from app.gateway_ws.method import Call, Method
from app.gateway_ws.params import Ignored, Text, params
from app.gateway_ws.session_keys import agent_of
from app.gateway_ws.times import ms
from app.providers.catalogue import LOCAL, Catalogue

# What the published schema knows that models take.
_INPUTS = ("text", "image", "audio", "video", "document")
_KEY_HEADERS = frozenset({"authorization", "x-api-key"})


def _list(call: Call) -> dict[str, Any]:
    services = call.plane.services
    settings, catalogue = services.live.current, services.catalogue
    if "agentId" in call.params:
        agent_of(settings, call.params["agentId"])
    aside = {reference: each.until for reference, each in catalogue.standing.set_aside().items()}
    return {
        "models": [
            {**_shown(reference, catalogue), **_availability(reference, settings, aside)}
            for reference in taking_turns(_references(settings))
        ]
    }


def _references(settings: Settings) -> list[str]:
    """Models that are listed, those that agents name, and the built-in one; each once."""
    listed = [f"{provider.id}/{model.id}" for provider in settings.providers.values() for model in provider.models]
    named = [
        reference for agent in settings.agents.values() for reference in (agent.model.primary, *agent.model.fallbacks)
    ]
    built_in = [] if LOCAL in settings.providers else [LOCAL_MODEL]
    return list(dict.fromkeys([*listed, *named, *built_in]))


def _shown(reference: str, catalogue: Catalogue) -> dict[str, Any]:
    """``ModelChoice`` of the published schema."""
    model = catalogue.model(reference)
    provider_id, _, model_id = reference.partition("/")
    shown: dict[str, Any] = {
        "id": model_id,
        "name": model.name,
        "provider": provider_id,
        "reasoning": model.reasoning,
        "input": [kind for kind in model.input if kind in _INPUTS],
    }
    if model.context_window:
        shown["contextWindow"] = model.context_window
    return shown


def _availability(reference: str, settings: Settings, aside: dict[str, float]) -> dict[str, Any]:
    """aside: ``time.monotonic()`` until which models are asked last."""
    # None is the built-in one: settings name no other model without its provider.
    provider = settings.providers.get(reference.partition("/")[0])
    if provider is not None and _lacks_key(provider):
        return {"available": False, "unavailableReason": "missing-auth"}
    if reference in aside:
        until = time.time() + aside[reference] - time.monotonic()
        return {"available": False, "unavailableReason": "cooldown", "unavailableUntil": ms(until)}
    return {"available": True}


def _lacks_key(provider: Provider) -> bool:
    """Of other servers than the well-known ones nobody knows whether they need a key."""
    if provider.api_key or any(name.lower() in _KEY_HEADERS for name in provider.headers):
        return False
    return any(provider.base_url.startswith(known.base_url) for known in WELL_KNOWN.values())


METHODS = (
    Method(
        "models.list",
        READ,
        params(
            agentId=Text(),
            view=Ignored(),
            refresh=Ignored(),
            preparedOnly=Ignored(),
            includeProviderCapabilities=Ignored(),
        ),
        _list,
    ),
)
