"""The model that a caller chooses."""

from __future__ import annotations

from app.auth import ADMIN
from app.config.settings import ModelChoice
from app.errors import InvalidRequest
from app.gateway_ws.method import Call


def model_named(call: Call, wanted: str, provider: str | None = None) -> ModelChoice:
    """``wanted`` is ``provider/model``, or a model of ``provider``.

    Raises Forbidden without the scope that x-openclaw-model needs, too, and InvalidRequest for a model of no provider.
    """
    call.connection.require(ADMIN)
    if provider and "/" not in wanted:
        wanted = f"{provider}/{wanted}"
    if not call.plane.services.catalogue.knows(wanted):
        raise InvalidRequest(f"model: {wanted[:100]!r} is not in models.providers; write provider/model", param="model")
    return ModelChoice(wanted)
