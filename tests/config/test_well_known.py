from collections.abc import Callable
from typing import Any

import pytest

from app.config import Provider
from app.config.well_known import WELL_KNOWN
from tests.config.conftest import TOKEN, Place

KEY = "sk-a-key-that-must-never-show"
VARIABLES = {variable: KEY for known in WELL_KNOWN.values() for variable in known.variables}


def agents(*models: Any) -> dict[str, Any]:
    return {"agents": {"list": [{"id": f"a{number}", "model": model} for number, model in enumerate(models)]}}


def environment(**variables: str) -> dict[str, str]:
    return {"OPENCLAW_GATEWAY_TOKEN": TOKEN, **variables}


@pytest.mark.parametrize(
    ("model", "variable", "expected"),
    [
        ("anthropic/claude-x", "ANTHROPIC_API_KEY",
         Provider("anthropic", "https://api.anthropic.com", "anthropic-messages", KEY, input=("text", "image"))),
        ("openai/gpt-x", "OPENAI_API_KEY",
         Provider("openai", "https://api.openai.com/v1", "openai-completions", KEY, input=("text", "image"))),
        ("openrouter/meta/llama-x:free", "OPENROUTER_API_KEY",
         Provider("openrouter", "https://openrouter.ai/api/v1", "openai-completions", KEY)),
        ("groq/llama-x", "GROQ_API_KEY",
         Provider("groq", "https://api.groq.com/openai/v1", "openai-completions", KEY)),
    ],
)  # fmt: skip
def test_a_well_known_provider_needs_its_key_alone(place: Place, model: str, variable: str, expected: Provider) -> None:
    """An agent may name any of its models; the provider is there with its address, its format and the key."""
    loaded = place.load(agents(model), **environment(**{variable: KEY}))
    assert dict(loaded.providers) == {expected.id: expected}
    assert loaded.agents["a0"].model.primary == model
    assert loaded.warnings == ()
    assert KEY not in repr(loaded)


@pytest.mark.parametrize("name", sorted(WELL_KNOWN))
@pytest.mark.parametrize("variables", [{}, {"X": KEY}, dict.fromkeys(VARIABLES, " "), dict.fromkeys(VARIABLES, "a\nb")])
def test_without_its_key_the_fault_names_the_variable(place: Place, name: str, variables: dict[str, str]) -> None:
    """Both ways out are told: configure the provider, or set the variable; a key that can't be sent is none."""
    (line,) = place.faults(agents(f"{name}/x"), **environment(**variables))
    assert line.startswith(f'agents.list[0].model: found "{name}/x"; allowed: a model of a provider in models.provider')
    assert line.endswith(f", or set {' or '.join(WELL_KNOWN[name].variables)} to its key")


def test_the_key_of_another_provider_is_of_no_use(refused: Callable[..., str]) -> None:
    """Each provider has its own variable."""
    assert "ANTHROPIC_API_KEY" in refused(agents("anthropic/x"), **environment(OPENAI_API_KEY=KEY))


def test_an_unknown_provider_is_told_of_those_that_there_are(refused: Callable[..., str]) -> None:
    """A mistyped name finds the right one among those that can be used, and no variable."""
    line = refused(agents("opnai/x"), **environment(OPENAI_API_KEY=KEY))
    assert line.endswith("(now: local, openai)")


def test_only_what_an_agent_names_is_there(place: Place) -> None:
    """Keys in the environment add no provider that nobody uses."""
    assert dict(place.load({}, **environment(**VARIABLES)).providers) == {}
    document = agents("openai/x", {"primary": "local/smollm2-135m", "fallbacks": ["groq/y", "openai/z"]})
    assert set(place.load(document, **environment(**VARIABLES)).providers) == {"openai", "groq"}


def test_the_default_model_counts_where_an_agent_takes_it(place: Place) -> None:
    """agents.defaults names it for those who name none of their own."""
    document: dict[str, Any] = {"agents": {"defaults": {"model": {"primary": "openai/x", "fallbacks": ["groq/y"]}}}}
    assert set(place.load(document, **environment(**VARIABLES)).providers) == {"openai", "groq"}
    document["agents"]["list"] = [{"id": "a", "model": "anthropic/x"}]
    assert set(place.load(document, **environment(**VARIABLES)).providers) == {"anthropic"}


def test_a_fallback_needs_its_key_too(place: Place) -> None:
    """A fallback that could never answer is named, and left out."""
    choice = {"primary": "openai/x", "fallbacks": ["groq/y"]}
    settings = place.load(agents(choice), **environment(OPENAI_API_KEY=KEY))
    assert settings.agents["a0"].model.fallbacks == ()
    (warning,) = settings.warnings
    assert 'agents.list[0].model.fallbacks[0] "groq/y"' in warning
    assert warning.endswith("or set GROQ_API_KEY to its key)")


def test_what_the_file_configures_is_the_files(place: Place) -> None:
    """A provider in the file is as the file says, key and list of models included."""
    own = {"baseUrl": "http://proxy/v1", "models": [{"id": "x"}]}
    document = agents("openai/x") | {"models": {"providers": {"openai": own}}}
    openai = place.load(document, **environment(OPENAI_API_KEY=KEY)).providers["openai"]
    assert (openai.base_url, openai.api_key, openai.input) == ("http://proxy/v1", None, ("text",))


@pytest.mark.parametrize("entry", [{}, {"models": [{"id": "x"}]}, {"timeoutSeconds": 5}])
def test_an_entry_without_address_is_completed(place: Place, entry: dict[str, Any]) -> None:
    """What the file leaves out of a provider that is known is its own address, format and key."""
    document = agents("anthropic/x") | {"models": {"providers": {"anthropic": entry}}}
    provider = place.load(document, **environment(ANTHROPIC_API_KEY=KEY)).providers["anthropic"]
    known = ("https://api.anthropic.com", "anthropic-messages", KEY)
    assert (provider.base_url, provider.api, provider.api_key) == known


@pytest.mark.parametrize("given", [{"apiKey": "own"}, {"headers": {"Authorization": "Bearer own"}}])
def test_an_entry_s_own_key_is_not_replaced(place: Place, given: dict[str, Any]) -> None:
    """A key in the file counts, in a header too."""
    document = agents("openai/x") | {"models": {"providers": {"openai": given}}}
    provider = place.load(document, **environment(OPENAI_API_KEY=KEY)).providers["openai"]
    assert provider.api_key == given.get("apiKey")


def test_a_key_may_have_space_around_it(place: Place) -> None:
    """The line end of a file that a key was read from is no part of it."""
    loaded = place.load(agents("openai/x"), **environment(OPENAI_API_KEY=f"{KEY}\n"))
    assert loaded.providers["openai"].api_key == KEY
