"""Which agent a request means: every form of the model, the header, and the session key."""

from __future__ import annotations

from dataclasses import replace

import pytest

from app.agents.registry import agent_of_model, agent_of_request, model_names
from app.config.settings import Settings
from app.errors import InvalidRequest, ModelNotFound
from tests.agents.scene import BETA, MAIN, settings

SETTINGS = settings(MAIN, BETA)


def chosen(
    model: str | None = None, header: str | None = None, key: str | None = None, among: Settings = SETTINGS
) -> str:
    return agent_of_request(among, model=model, agent_id=header, session_key=key).id


@pytest.mark.parametrize(
    "model", ["openclaw", "openclaw/default", "openclaw:default", "agent:default", " OpenClaw ", "OPENCLAW/Default"]
)
def test_names_of_the_default_agent(model: str) -> None:
    """``openclaw`` and ``default`` mean the default agent in every form."""
    assert chosen(model) == "main"
    assert chosen(model, among=settings(BETA, MAIN)) == "beta"


@pytest.mark.parametrize("model", [None, "", "   "])
def test_no_model_is_the_default_agent(model: str | None) -> None:
    """A model that is absent, null or blank means ``openclaw``."""
    assert chosen(model) == "main"


@pytest.mark.parametrize(
    "model",
    [
        "openclaw:beta",
        "openclaw/beta",
        "agent:beta",
        "  openclaw:beta\t",
        "OpenClaw:BETA",
        "AGENT: Beta",
        "openclaw/ beta",
    ],
)
def test_forms_that_name_an_agent(model: str) -> None:
    """All documented forms name an agent, whatever the case and the space around."""
    assert chosen(model) == "beta"


def test_an_agent_called_default_is_meant_by_its_name() -> None:
    """When an agent is called ``default``, that name means it and no longer the default agent."""
    among = settings(MAIN, replace(BETA, id="default"))
    assert chosen("openclaw/default", among=among) == "default"
    assert chosen("openclaw", among=among) == "main"


@pytest.mark.parametrize(
    "model", ["gpt-4o", "openclaw:nobody", "beta", "main", "openclawbeta", "openclaw:", "agent:", "\0"]
)
def test_an_unknown_model_is_never_substituted(model: str) -> None:
    """A foreign model or unknown agent is 404 and the message names the known ones."""
    with pytest.raises(ModelNotFound) as refused:
        chosen(model)
    error = refused.value
    assert (error.status, error.code, error.param) == (404, "model_not_found", "model")
    assert all(name in error.message for name in ("openclaw", "openclaw/default", "openclaw/main", "openclaw/beta"))


def test_an_endless_model_name_is_cut_in_the_message() -> None:
    """What a caller sends doesn't come back in full length."""
    with pytest.raises(ModelNotFound) as refused:
        chosen("x" * 100_000)
    assert len(refused.value.message) < 1000


@pytest.mark.parametrize("header", ["beta", " Beta ", "BETA"])
def test_the_header_names_an_agent(header: str) -> None:
    """The header's agent id is case-insensitive and trimmed."""
    assert chosen(None, header) == "beta"


@pytest.mark.parametrize("model", ["gpt-4o", "openclaw:main", "openclaw:nobody", "openclaw"])
def test_with_the_header_the_model_is_not_resolved(model: str) -> None:
    """The header wins over any model, even over one that doesn't exist."""
    assert chosen(model, "beta") == "beta"


@pytest.mark.parametrize("header", ["nobody", "openclaw:beta", "be ta"])
def test_an_unknown_agent_in_the_header(header: str) -> None:
    """An unknown agent in the header is 404 as in the model, with the known ones named."""
    with pytest.raises(ModelNotFound, match="openclaw/beta") as refused:
        chosen("openclaw", header)
    assert refused.value.code == "model_not_found"


@pytest.mark.parametrize("model", [None, "openclaw", "openclaw/default"])
def test_a_session_key_selects_its_agent(model: str | None) -> None:
    """``agent:<id>:…`` selects the agent when neither model nor header names one."""
    assert chosen(model, key="agent:beta:anything") == "beta"


@pytest.mark.parametrize("key", ["anything", "agent:nobody:x", "agent:", "agent:beta", "xagent:beta:y"])
def test_other_session_keys_select_nobody(key: str) -> None:
    """A key without the form, or of an unknown agent, leaves the choice to the rest of the request."""
    assert chosen(key=key) == "main"
    assert chosen("openclaw:beta", key=key) == "beta"


@pytest.mark.parametrize(("model", "header"), [("openclaw:main", None), (None, "main"), ("agent:beta", "main")])
def test_a_session_key_of_another_agent_conflicts(model: str | None, header: str | None) -> None:
    """When key and choice name different agents, the request is refused with the key's header as param."""
    with pytest.raises(InvalidRequest) as refused:
        chosen(model, header, "agent:beta:x")
    assert (refused.value.status, refused.value.param) == (400, "x-openclaw-session-key")


def test_a_session_key_that_agrees_is_fine() -> None:
    """Key, header and model may name the same agent."""
    assert chosen("openclaw:beta", "beta", "agent:beta:x") == "beta"


def test_every_offered_name_is_taken() -> None:
    """What the models endpoint lists can be sent back as ``model``."""
    names = model_names(SETTINGS)
    assert names == ["openclaw", "openclaw/default", "openclaw/main", "openclaw/beta"]
    assert [agent_of_model(SETTINGS, name) for name in names] == [None, None, "main", "beta"]
