"""Providers that everybody calls: an agent may name one that the file doesn't configure.

Addresses: https://platform.openai.com/docs/api-reference, https://platform.claude.com/docs/en/api/overview,
https://openrouter.ai/docs/quickstart, https://console.groq.com/docs/openai. Mistral is not among them: it refuses
``stream_options``, without which other servers report no usage.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from types import MappingProxyType
from typing import NamedTuple

from app.config.environment import Environment
from app.config.settings import Provider

_KEY = re.compile(r"[ -~\xa0-\xff]+")


class WellKnown(NamedTuple):
    """variable: that holds the key. input: what its models take."""

    base_url: str
    variable: str
    api: str = "openai-completions"
    input: tuple[str, ...] = ("text",)


WELL_KNOWN: Mapping[str, WellKnown] = MappingProxyType(
    {
        "anthropic": WellKnown(
            "https://api.anthropic.com", "ANTHROPIC_API_KEY", api="anthropic-messages", input=("text", "image")
        ),
        "groq": WellKnown("https://api.groq.com/openai/v1", "GROQ_API_KEY"),
        "openai": WellKnown("https://api.openai.com/v1", "OPENAI_API_KEY", input=("text", "image")),
        "openrouter": WellKnown("https://openrouter.ai/api/v1", "OPENROUTER_API_KEY"),
    }
)


def well_known_keys(environment: Environment) -> dict[str, str]:
    """The keys that the environment has, by provider; without those that no header can carry."""
    keys = {name: (environment.get(known.variable) or "").strip() for name, known in WELL_KNOWN.items()}
    return {name: key for name, key in keys.items() if _KEY.fullmatch(key)}


def well_known_provider(name: str, key: str) -> Provider:
    """Any model of it may be asked for."""
    known = WELL_KNOWN[name]
    return Provider(id=name, base_url=known.base_url, api=known.api, api_key=key, input=known.input)
