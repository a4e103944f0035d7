"""Small files that OpenClaw takes and this gateway did not, as they were reported."""

from __future__ import annotations

from typing import Any

import pytest

from app.config import Settings
from tests.config.conftest import Place

GATE = {"auth": {"mode": "token", "token": "tok-12345678901234567890"}}


def start(place: Place, document: dict[str, Any], **variables: str) -> Settings:
    return place.load({"gateway": GATE, **document}, PATH="/bin", **variables)


def test_a_provider_with_a_key_alone(place: Place) -> None:
    """The gateway knows the address of a provider that it knows."""
    document = {
        "models": {"providers": {"openai": {"apiKey": "sk-1234567890"}}},
        "agents": {"defaults": {"model": "openai/gpt-5-mini"}},
    }
    provider = start(place, document).providers["openai"]
    assert (provider.base_url, provider.api_key) == ("https://api.openai.com/v1", "sk-1234567890")


@pytest.mark.parametrize(
    ("model", "variable", "address"),
    [
        ("google/gemini-3-pro", "GEMINI_API_KEY", "https://generativelanguage.googleapis.com/v1beta/openai"),
        ("google/gemini-3-pro", "GOOGLE_API_KEY", "https://generativelanguage.googleapis.com/v1beta/openai"),
        ("moonshot/kimi-k2", "MOONSHOT_API_KEY", "https://api.moonshot.ai/v1"),
        ("deepseek/deepseek-chat", "DEEPSEEK_API_KEY", "https://api.deepseek.com"),
        ("zai/glm-5", "Z_AI_API_KEY", "https://api.z.ai/api/paas/v4"),
        ("minimax/m2", "MINIMAX_API_KEY", "https://api.minimax.io/anthropic"),
    ],
)
def test_a_provider_with_its_key_in_the_environment(place: Place, model: str, variable: str, address: str) -> None:
    """It is served at its OpenAI-compatible address, or the one whose format is spoken here."""
    settings = start(place, {"agents": {"defaults": {"model": model}}}, **{variable: "k1234567890"})
    provider = settings.providers[model.partition("/")[0]]
    assert (provider.base_url, provider.api_key) == (address, "k1234567890")
    assert settings.warnings == ()


def test_keys_that_openclaw_mends_by_itself(place: Place) -> None:
    """Keys of earlier in the year are one warning."""
    document = {
        "meta": {"lastTouchedVersion": "2026.3.2", "lastTouchedAt": "2026-03-02T00:00:00Z"},
        "gateway": {
            "mode": "local",
            **GATE,
            "tailscale": {"mode": "off", "resetOnExit": False},
            "nodes": {"denyCommands": ["camera.snap"]},
            "controlUi": {"allowInsecureAuth": True},
        },
        "logging": {"redactSensitive": "tools"},
        "agents": {"defaults": {"memorySearch": {"enabled": True}, "imageGenerationModel": {"primary": "x/y"}}},
    }
    (warning,) = start(place, document).warnings
    for key in (
        "gateway.tailscale.resetOnExit",
        "gateway.nodes.denyCommands",
        "gateway.controlUi.allowInsecureAuth",
        "logging.redactSensitive",
        "agents.defaults.memorySearch.enabled",
        "agents.defaults.imageGenerationModel.primary",
    ):
        assert key in warning


def test_origins_that_no_page_has(place: Place) -> None:
    """They are left out with a warning, and the rest stays."""
    origins = ["null", "localhost", "http://localhost:3000", "file://", "*"]
    settings = start(place, {"gateway": {**GATE, "controlUi": {"allowedOrigins": origins}}})
    assert settings.gateway.control_ui.allowed_origins == ("http://localhost:3000",)
    assert 'left out gateway.controlUi.allowedOrigins[0] "null"' in settings.warnings[0]


def test_a_model_by_its_alias(place: Place) -> None:
    """It is the model that it stands for."""
    document = {
        "models": {"providers": {"z": {"baseUrl": "http://h/v1", "models": [{"id": "x", "name": "X"}]}}},
        "agents": {"defaults": {"model": "fast", "models": {"z/x": {"alias": "fast"}}}},
    }
    assert start(place, document).agents["main"].model.primary == "z/x"


def test_a_name_in_braces_that_is_no_variable(place: Place) -> None:
    """JavaScript in a prompt is text."""
    prompt = "Write JavaScript: `hello ${name}`"
    assert start(place, {"agents": {"defaults": {"systemPrompt": prompt}}}).agents["main"].system_prompt == prompt
