"""The methods of the control plane, a module for each part of it. ``METHODS`` is all that is served."""

from __future__ import annotations

from collections.abc import Mapping

from app.gateway_ws.method import Method
from app.gateway_ws.methods import (
    agent,
    agents,
    chat,
    chat_history,
    config,
    health,
    logs,
    models,
    sessions_read,
    sessions_usage,
    sessions_watch,
    sessions_write,
    tools,
)

_MODULES: tuple[tuple[Method, ...], ...] = (
    agent.METHODS,
    chat.METHODS,
    health.METHODS,
    logs.METHODS,
    agents.METHODS,
    models.METHODS,
    tools.METHODS,
    sessions_read.METHODS,
    sessions_usage.METHODS,
    sessions_write.METHODS,
    sessions_watch.METHODS,
    chat_history.METHODS,
    config.METHODS,
)

METHODS: Mapping[str, Method] = {method.name: method for part in _MODULES for method in part}
