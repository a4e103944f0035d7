"""``GET /v1/models``: the agents, under the names that ``model`` takes.

Source: https://platform.openai.com/docs/api-reference/models
"""

from __future__ import annotations

from typing import Any

from flask import Blueprint, Response, current_app

from app.agents.registry import agent_of_model, model_names
from app.http.envelope import json_response

blueprint = Blueprint("models", __name__)


@blueprint.get("/v1/models")
def index() -> Response:
    services = current_app.extensions["gateway"]
    names = model_names(services.live.current)
    return json_response({"object": "list", "data": [_model(name, services.started) for name in names]})


@blueprint.get("/v1/models/<path:name>")
def show(name: str) -> Response:
    services = current_app.extensions["gateway"]
    agent_of_model(services.live.current, name)
    return json_response(_model(name, services.started))


def _model(name: str, created: int) -> dict[str, Any]:
    return {"id": name, "object": "model", "created": created, "owned_by": "openclaw"}
