"""The model that a caller chooses."""

from __future__ import annotations

from app.agents.registry import may_not_be_chosen
from app.auth import ADMIN
from app.config.settings import Agent, ModelChoice
from app.errors import InvalidRequest
from app.gateway_ws.method import Call


def model_named(call: Call, agent: Agent, wanted: str, provider: str | None = None) -> ModelChoice:
    """``wanted`` is ``provider/model``, an alias, or a model of ``provider``.

    Raises Forbidden without the scope that x-openclaw-model needs, too, and InvalidRequest for a model of no provider,
    or one that may not be chosen for the agent.
    """
    call.connection.require(ADMIN)
    if provider and "/" not in wanted:
        wanted = f"{provider}/{wanted}"
    wanted = call.plane.services.catalogue.named(wanted)
    if not call.plane.services.catalogue.knows(wanted):
        raise InvalidRequest(f"model: {wanted[:100]!r} is not in models.providers; write provider/model", param="model")
    if not agent.may_be_answered_by(wanted):
        raise InvalidRequest(f"model: {wanted[:100]!r} {may_not_be_chosen(agent)}", param="model")
    return ModelChoice(wanted)
