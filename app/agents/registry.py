"""Which agent a request means."""

from __future__ import annotations

from app.config.settings import Agent, Settings
from app.errors import InvalidRequest, ModelNotFound
from app.providers.catalogue import Catalogue
from app.sessions import keys

DEFAULT_MODEL = "openclaw"
_PREFIXES = ("openclaw:", "openclaw/", "agent:")


def model_names(settings: Settings) -> list[str]:
    """The names under which agents are offered as models."""
    return [DEFAULT_MODEL, f"{DEFAULT_MODEL}/default", *(f"{DEFAULT_MODEL}/{id}" for id in settings.agents)]


def may_be_chosen(reference: str, agent: Agent, catalogue: Catalogue) -> bool:
    """Whether a caller, or the session, may have this model asked in place of the agent's."""
    return catalogue.knows(reference) and agent.may_be_answered_by(reference)


def may_not_be_chosen(agent: Agent) -> str:
    """What is wrong with a model that callers may not choose for this agent, to be read behind its name."""
    return f"may not be chosen for the agent {agent.id!r} (modelPolicy.allow, or models, of it)"


def agent_of_request(settings: Settings, *, model: str | None, agent_id: str | None, session_key: str | None) -> Agent:
    """The agent that a request's ``model``, agent header and session key select.

    The header wins over the model; a session key ``agent:<id>:…`` of a known agent selects it when neither names one.
    Raises ModelNotFound for an unknown agent or a foreign model, InvalidRequest when key and choice conflict.
    """
    if agent_id:
        named: str | None = agent_id.strip().lower()
        if named not in settings.agents:
            raise _unknown(settings, agent_id, None)
    else:
        named = agent_of_model(settings, model)
    of_key = keys.named_agent(session_key) if session_key else None
    if of_key is not None and of_key in settings.agents:
        if named is not None and named != of_key:
            raise InvalidRequest(
                f"the session key belongs to agent {of_key!r}, the request is for agent {named!r}",
                param="x-openclaw-session-key",
            )
        named = of_key
    return settings.agents[named or settings.default_agent]


def agent_of_model(settings: Settings, model: str | None) -> str | None:
    """The agent id that ``model`` names, None for the default agent. Raises ModelNotFound."""
    wanted = (model or "").strip().lower() or DEFAULT_MODEL
    if wanted == DEFAULT_MODEL:
        return None
    for prefix in _PREFIXES:
        if wanted.startswith(prefix):
            named = wanted[len(prefix) :].strip()
            if named in settings.agents:
                return named
            if named == "default":
                return None
    raise _unknown(settings, model or "", "model")


def _unknown(settings: Settings, name: str, param: str | None) -> ModelNotFound:
    shown = name if len(name) <= 100 else name[:100] + "…"
    known = ", ".join(model_names(settings)[:50])
    what = f"model {shown!r} does not exist" if param else f"agent {shown!r} does not exist"
    return ModelNotFound(f"{what}; known models: {known}", param=param)
