"""Liveness and readiness. Open to all; details of what fails only for callers that may read."""

from __future__ import annotations

from typing import Any

from flask import Blueprint, Response, current_app, g

from app.auth import READ
from app.http.envelope import json_response
from app.services import Services

blueprint = Blueprint("health", __name__)


@blueprint.get("/health")
@blueprint.get("/healthz")
def live() -> Response:
    return _json({"ok": True, "status": "live"}, 200)


@blueprint.get("/ready")
@blueprint.get("/readyz")
def ready() -> Response:
    services: Services = current_app.extensions["gateway"]
    failing = services.failing()
    body: dict[str, Any] = {"ready": not failing, "failing": []}
    caller = g.identify()
    if caller is not None and READ in caller.scopes:
        body |= {"failing": failing, **services.degraded()}
    return _json(body, 503 if failing else 200)


def _json(body: dict[str, Any], status: int) -> Response:
    return json_response(body, status, {"Cache-Control": "no-store"})
