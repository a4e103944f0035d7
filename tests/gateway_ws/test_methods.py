"""What holds for every method of the control plane."""

from __future__ import annotations

from typing import Any

import pytest

from app.auth import ADMIN, READ, WRITE
from app.gateway_ws.methods import METHODS
from tests.gateway_ws.client import Refused, connected
from tests.live.gateway import Gateway

# Beside those of the gateway that this one is compatible with, whatever a module says.
SCOPES = {
    READ: """health status system-presence logs.tail usage.status agents.list models.list tools.catalog tools.effective
        sessions.list sessions.preview sessions.describe sessions.resolve sessions.get sessions.usage sessions.subscribe
        sessions.messages.subscribe sessions.messages.unsubscribe chat.history config.get config.schema""",
    WRITE: """tools.invoke sessions.create sessions.send sessions.abort sessions.patch chat.send chat.abort agent
        agent.wait""",
    ADMIN: "sessions.reset sessions.delete sessions.compact chat.inject config.set config.patch config.apply",
}
EXPECTED = {name: scope for scope, names in SCOPES.items() for name in names.split()}


def test_every_method_of_the_contract_is_served_with_its_scope() -> None:
    """No more and no fewer, and none without a scope."""
    assert {name: method.scope for name, method in METHODS.items()} == EXPECTED


def test_what_is_offered_is_what_is_served(gateway: Gateway) -> None:
    """``features.methods`` is made from the registry."""
    with connected(gateway) as client:
        assert set(client.hello["features"]["methods"]) == set(METHODS)


@pytest.mark.parametrize("name", sorted(METHODS))
def test_a_method_refuses_a_caller_without_its_scope(gateway: Gateway, name: str) -> None:
    """Before it looks at the parameters, and naming what is missing."""
    lesser: dict[str, Any] = {READ: (), WRITE: (READ,), ADMIN: (WRITE,)}
    scope = METHODS[name].scope
    with connected(gateway, scopes=lesser[scope]) as client, pytest.raises(Refused) as refusal:
        client.call(name, {"surprise": 1})
    assert refusal.value.error == {
        "code": "FORBIDDEN",
        "message": f"missing scope: {scope}",
        "details": {"code": "MISSING_SCOPE", "missingScope": scope, "requiredScopes": [scope]},
    }


@pytest.mark.parametrize("name", sorted(METHODS))
@pytest.mark.parametrize("params", [{"surprise": 1}, [], "text", 7], ids=["unknown", "list", "text", "number"])
def test_a_method_refuses_parameters_that_it_does_not_know(gateway: Gateway, name: str, params: Any) -> None:
    """An unknown parameter, and what is no object at all."""
    with connected(gateway) as client, pytest.raises(Refused) as refusal:
        client.call(name, params)
    assert refusal.value.code == "INVALID_REQUEST"
    assert f"invalid {name} params: " in str(refusal.value)
