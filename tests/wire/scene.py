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
    "an-second": {"api": "anthropic-messages"},
    "re-second": {"api": "openai-responses"},
    "no-usage": {"model": {"compat": {"supportsUsageInStreaming": False}}},
    "mistral": {
        "model": {
            "compat": {
                "requiresMistralToolIds": True,
                "requiresAssistantAfterToolResult": True,
                "requiresToolResultName": True,
            }
        }
    },
    "plain": {
        "model": {"compat": {"requiresStringContent": True, "strictMessageKeys": True, "supportsTemperature": False}}
    },
    "deep": {
        "model": {
            "reasoning": True,
            "compat": {"thinkingFormat": "deepseek", "requiresReasoningContentOnAssistantMessages": True},
        }
    },
    "as-text": {"model": {"reasoning": True, "compat": {"requiresThinkingAsText": True}}},
    "zai": {"model": {"reasoning": True, "compat": {"thinkingFormat": "zai", "zaiToolStream": True}}},
    "qwen": {"model": {"reasoning": True, "compat": {"thinkingFormat": "qwen"}}},
    "template": {"model": {"reasoning": True, "compat": {"thinkingFormat": "qwen-chat-template"}}},
    "router": {
        "model": {
            "reasoning": True,
            "compat": {
                "thinkingFormat": "openrouter",
                "supportedReasoningEfforts": ["low", "high"],
                "reasoningEffortMap": {"xhigh": "MAX"},
                "maxTokensField": "max_completion_tokens",
            },
        }
    },
    "routed": {
        "model": {
            "compat": {
                "openRouterRouting": {
                    "order": ["anthropic"],
                    "allow_fallbacks": False,
                    "sort": {"by": "price", "partition": None},
                }
            }
        }
    },
    "no-tools": {"model": {"compat": {"supportsTools": False}}},
    "gemini": {
        "model": {
            "compat": {
                "unsupportedToolSchemaKeywords": ["additionalProperties", "$schema"],
                "supportsStrictMode": False,
            }
        }
    },
    "html": {"model": {"compat": {"toolCallArgumentsEncoding": "html-entities"}}},
}
# Agents with tools of their own, and whose provider they share.
READERS = {"coder": "main", "an-coder": "an", "re-coder": "re"}
# Agents with tools of their own and a second provider that is asked when the first fails.
BACKED = {"backed": ("main", "no-usage"), "an-backed": ("an", "an-second"), "re-backed": ("re", "re-second")}


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
    for id, (first, second) in BACKED.items():
        model = {"primary": f"p-{first}/m", "fallbacks": [f"p-{second}/m"]}
        agents.append({"id": id, "model": model, "tools": {"profile": "readonly"}})
    endpoints = {"chatCompletions": {"enabled": True, "reasoning": True}}
    merged = config_for(provider_url, gateway={"http": {"endpoints": endpoints}}, agents={"list": agents})
    merged["models"]["providers"] = providers
    return merged
