"""The gateway that every case goes through: an agent for each wire format and for each peculiar provider."""

from __future__ import annotations

from typing import Any

from tests.live.gateway import Config, config_for

# Agent: what its provider's entry has besides (``model``: its model's).
# ``main`` speaks openai-completions, ``an`` anthropic-messages, ``re`` openai-responses.
PROVIDERS: dict[str, dict[str, Any]] = {
    "main": {},
    "an": {"api": "anthropic-messages"},
    "re": {"api": "openai-responses"},
    "no-usage": {"model": {"compat": {"supportsUsageInStreaming": False}}},
}
# Agents with tools of their own, and whose provider they share.
READERS = {"coder": "main", "an-coder": "an", "re-coder": "re"}


def config(provider_url: str) -> Config:
    providers: dict[str, Any] = {}
    agents: list[dict[str, Any]] = []
    for id, entry in PROVIDERS.items():
        model = {"id": "m", "name": "M", "contextWindow": 128_000, "input": ["text", "image"], **entry.get("model", {})}
        more = {key: value for key, value in entry.items() if key != "model"}
        providers[f"p-{id}"] = {"baseUrl": provider_url, "apiKey": f"key-of-{id}-0123456789", "models": [model], **more}
        agents.append({"id": id, "model": f"p-{id}/m"})
    for id, provider in READERS.items():
        agents.append({"id": id, "model": f"p-{provider}/m", "tools": {"profile": "readonly"}})
    endpoints = {"chatCompletions": {"enabled": True, "reasoning": True}}
    merged = config_for(provider_url, gateway={"http": {"endpoints": endpoints}}, agents={"list": agents})
    merged["models"]["providers"] = providers
    return merged
