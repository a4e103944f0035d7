"""Models by their aliases, with providers known by name, and what callers may choose."""

from __future__ import annotations

from typing import Any

import pytest

from app.config import ModelChoice, Settings
from tests.config.conftest import Place

PROVIDERS = {
    "providers": {
        "z": {"baseUrl": "http://h/v1", "models": [{"id": "x", "reasoning": True}, {"id": "y"}]},
        "any": {"baseUrl": "http://h/v1"},
    }
}


def load(place: Place, models: dict[str, Any] | None = None, meta: Any = None, **agents: Any) -> Settings:
    defaults = {"model": "z/x", **({} if models is None else {"models": models})} | agents.pop("defaults", {})
    document = {"models": PROVIDERS, "agents": {"defaults": defaults, **agents}}
    return place.load(document if meta is None else {**document, "meta": meta})


@pytest.mark.parametrize(
    ("model", "choice"),
    [
        ("fast", ModelChoice("z/y")),
        ("FAST", ModelChoice("z/y")),
        (" fast ", ModelChoice("z/y")),
        ({"primary": "fast", "fallbacks": ["big", "any/a"]}, ModelChoice("z/y", ("z/x", "any/a"))),
        ({"fallbacks": ["fast"]}, ModelChoice("z/x", ("z/y",))),
    ],
)
@pytest.mark.parametrize("form", ["list", "entries"])
def test_a_model_by_its_alias(place: Place, model: Any, choice: ModelChoice, form: str) -> None:
    """Wherever a model is named, its alias does, whatever its case."""
    models = {"z/y": {"alias": "fast"}, "z/x": {"alias": "Big"}}
    agents = {"list": [{"id": "a", "model": model}]} if form == "list" else {"entries": {"a": {"model": model}}}
    assert load(place, models, **agents).agents["a"].model == choice


def test_an_alias_of_the_defaults(place: Place) -> None:
    """The default model may be named by it, too; callers find it under the same name."""
    settings = load(place, {"z/y": {"alias": "Fast"}}, defaults={"model": "fast"})
    assert settings.agents["main"].model.primary == "z/y"
    assert dict(settings.aliases) == {"fast": "z/y"}


def test_a_name_that_is_no_alias(place: Place) -> None:
    """A bare name that stands for nothing is a fault."""
    document = {"models": PROVIDERS, "agents": {"defaults": {"model": "quick", "models": {"z/y": {"alias": "fast"}}}}}
    (line,) = place.faults(document)
    assert line.startswith('agents.defaults.model: found "quick"')


# What callers may choose.

OLD, NEW = {"lastTouchedVersion": "2026.7.1"}, {"lastTouchedVersion": "2026.8.0-beta.1"}


@pytest.mark.parametrize(
    ("models", "meta", "allowed"),
    [
        (None, OLD, None),
        ({}, OLD, None),
        ({"z/y": {}}, OLD, ("z/y",)),
        ({"z/y": {}}, None, ("z/y",)),
        ({"z/y": {}}, {"lastTouchedVersion": "2025.12.1"}, ("z/y",)),
        ({"z/y": {}}, {"lastTouchedVersion": "2026.10.1"}, None),
        ({"z/y": {}}, {"lastTouchedVersion": 5}, ("z/y",)),
        ({"z/y": {}}, NEW, None),
    ],
)
def test_models_with_settings_were_all_that_callers_may_choose(
    place: Place, models: dict[str, Any] | None, meta: Any, allowed: tuple[str, ...] | None
) -> None:
    """Until 2026.8 the map is the list of allowed models; a file that doesn't say how old it is counts as old."""
    assert load(place, models, meta).agents["main"].overrides == allowed


@pytest.mark.parametrize(
    ("allow", "reference", "may"),
    [
        ([], "z/x", True),
        ([], "z/y", False),
        (["z/*"], "z/y", True),
        (["Z/*"], "z/y", True),
        (["z/*"], "any/y", False),
        (["any/a"], "any/a", True),
        (["any/a"], "any/b", False),
    ],
)
def test_a_policy_of_models(place: Place, allow: list[str], reference: str, may: bool) -> None:
    """What it allows may be chosen, and always what the agent has itself."""
    for meta in (OLD, NEW):
        agent = load(place, {"any/b": {}}, meta, defaults={"modelPolicy": {"allow": allow}}).agents["main"]
        assert agent.may_be_answered_by(reference) == may


def test_an_agent_s_own_policy(place: Place) -> None:
    """It stands in place of that of the defaults."""
    entries = {"a": {"modelPolicy": {"allow": ["z/y"]}}, "b": {}}
    settings = load(place, None, NEW, defaults={"modelPolicy": {"allow": ["any/*"]}}, entries=entries)
    assert settings.agents["a"].overrides == ("z/y",)
    assert settings.agents["b"].overrides == ("any/*",)


# Parameters.


def test_parameters_of_a_model(place: Place) -> None:
    """Those of the defaults, and over them an agent's own, under the names of the OpenAI API."""
    models = {"z/x": {"params": {"temperature": 0.3, "topP": 0.9, "maxTokens": 5}}}
    own = {"z/x": {"params": {"temperature": 1}}}
    settings = load(place, models, NEW, list=[{"id": "a", "models": own}, {"id": "b"}])
    assert settings.agents["a"].params["z/x"] == {"temperature": 1, "top_p": 0.9, "max_tokens": 5}
    assert settings.agents["b"].params["z/x"] == {"temperature": 0.3, "top_p": 0.9, "max_tokens": 5}


@pytest.mark.parametrize("wrong", ["hot", True, None, [1], {}])
def test_a_parameter_that_is_no_number(place: Place, wrong: Any) -> None:
    """It is a fault here, not a refusal of the provider later."""
    document = {"agents": {"defaults": {"models": {"z/x": {"params": {"temperature": wrong}}}}}}
    (line,) = place.faults(document)
    assert line.startswith('agents.defaults.models["z/x"].params.temperature: found ')


@pytest.mark.parametrize(
    ("thinking", "params"),
    [("low", {"reasoning_effort": "low"}), ("xhigh", {"reasoning_effort": "xhigh"}), ("off", {}), ("adaptive", {})],
)
def test_how_much_a_model_thinks(place: Place, thinking: str, params: dict[str, str]) -> None:
    """It is told to models that think, and to no others: those would refuse it."""
    agent = load(place, None, defaults={"thinkingDefault": thinking}).agents["main"]
    assert agent.params.get("z/x", {}) == params
    assert "z/y" not in agent.params


# Addresses.


@pytest.mark.parametrize(
    ("id", "entry", "address"),
    [
        ("ollama", {"baseUrl": "http://127.0.0.1:11434", "api": "ollama"}, "http://127.0.0.1:11434/v1"),
        ("ollama", {"baseUrl": "http://127.0.0.1:11434/"}, "http://127.0.0.1:11434/v1"),
        ("mine", {"baseUrl": "http://h:11434/api", "api": "ollama"}, "http://h:11434/v1"),
        ("ollama", {"baseUrl": "http://127.0.0.1:11434/v1", "api": "ollama"}, "http://127.0.0.1:11434/v1"),
        ("ollama", {"baseUrl": "http://h/proxy/ollama", "api": "ollama"}, "http://h/proxy/ollama"),
        ("lmstudio", {"baseUrl": "http://h:1234"}, "http://h:1234/v1"),
        ("mine", {"baseUrl": "http://h:1234"}, "http://h:1234"),
        ("google", {"api": "google-generative-ai", "baseUrl": "https://g/v1beta"}, "https://g/v1beta/openai"),
        ("google", {"api": "google-generative-ai", "baseUrl": "https://g/v1beta/openai"}, "https://g/v1beta/openai"),
        ("google", {"apiKey": "k"}, "https://generativelanguage.googleapis.com/v1beta/openai"),
        ("openai", {"headers": {"X-Key": "k"}}, "https://api.openai.com/v1"),
    ],
)
def test_where_a_provider_is_asked(place: Place, id: str, entry: dict[str, Any], address: str) -> None:
    """At its OpenAI-compatible door, which is said where it is not what the file has."""
    settings = place.load({"models": {"providers": {id: entry}}, "agents": {"defaults": {"model": f"{id}/m"}}})
    assert settings.providers[id].base_url == address
    changed = "baseUrl" in entry and entry["baseUrl"] != address
    assert (f"models.providers.{id}.baseUrl read as {address}" in "".join(settings.warnings)) == changed


@pytest.mark.parametrize(
    "api",
    [
        "openai-codex-responses",
        "openai-chatgpt-responses",
        "github-copilot",
        "google-vertex",
        "bedrock-converse-stream",
    ],
)
def test_an_entry_that_wants_a_sign_in(place: Place, api: str) -> None:
    """It is no provider: agents that need it don't start, others do, and the warning says why."""
    entry = {"baseUrl": "https://h", "api": api, "apiKey": "k"}
    document: dict[str, Any] = {"models": {"providers": {"p": entry, "z": {"baseUrl": "http://h"}}}}
    (line,) = place.faults({**document, "agents": {"defaults": {"model": "p/m"}}})
    assert line.startswith('agents.defaults.model: found "p/m"; allowed: another model: p: its api')
    settings = place.load({**document, "agents": {"defaults": {"model": "z/m"}}})
    assert list(settings.providers) == ["z"]
    assert "can't be asked: models.providers.p: its api" in settings.warnings[0]


@pytest.mark.parametrize(("key", "bearer"), [("sk-ant-oat01-x", True), ("sk-ant-api03-x", False)])
def test_a_token_of_a_sign_in_goes_where_it_belongs(place: Place, key: str, bearer: bool) -> None:
    """Anthropic takes such tokens in Authorization alone."""
    for document, variables in (
        ({"models": {"providers": {"anthropic": {"apiKey": key}}}}, {}),
        ({"agents": {"defaults": {"model": "anthropic/x"}}}, {"ANTHROPIC_OAUTH_TOKEN": key}),
    ):
        settings = place.load(document, OPENCLAW_GATEWAY_TOKEN="t" * 20, **variables)
        assert settings.providers["anthropic"].auth_header == bearer
