from typing import Any

import pytest

from tests.config.conftest import Place

PROVIDERS = {
    "openai": {"baseUrl": "https://api.openai.com/v1"},
    "anthropic": {"baseUrl": "https://api.anthropic.com", "api": "anthropic-messages"},
}
WITHOUT_EFFECT = "not supported by this version and without effect: "


def chosen(**agents: Any) -> dict[str, Any]:
    return {"models": {"providers": PROVIDERS}, "agents": agents}


def endpoints(**values: Any) -> dict[str, Any]:
    return {"gateway": {"http": {"endpoints": values}}}


FALLING_BACK = {"primary": "openai/a", "fallbacks": ["openai/b"]}


@pytest.mark.parametrize(
    ("document", "paths"),
    [
        (chosen(defaults={"model": FALLING_BACK}), "agents.defaults.model.fallbacks"),
        (chosen(list=[{"id": "a"}, {"id": "b", "model": FALLING_BACK}]), "agents.list[1].model.fallbacks"),
        (chosen(entries={"a": {"model": FALLING_BACK}}), "agents.entries.a.model.fallbacks"),
        ({"agents": {"defaults": {"workspace": "~/w", "contextTokens": 4096}}},
         "agents.defaults.workspace, agents.defaults.contextTokens"),
        ({"agents": {"list": [{"id": "a", "workspace": "~/w"}]}}, "agents.list[0].workspace"),
        ({"tools": {"profile": "coding"}}, "tools.profile"),
        ({"tools": {"profile": "${P}"}}, "tools.profile"),
        ({"tools": {"profile": "minimal", "alsoAllow": ["read"], "exec": {"security": "full"}}},
         "tools.alsoAllow, tools.exec"),
        ({"tools": {"allow": ["read"], "deny": ["exec"]}}, "tools.allow, tools.deny"),
        ({"agents": {"defaults": {"tools": {"profile": "full"}}}}, "agents.defaults.tools.profile"),
        ({"agents": {"list": [{"id": "a", "tools": {"deny": ["x"]}}]}}, "agents.list[0].tools.deny"),
        ({"mcp": {"servers": {"files": {"command": "x"}, "web": {"url": "http://x", "enabled": True}}}},
         "mcp.servers.files, mcp.servers.web"),
        (endpoints(responses={"enabled": True}), "gateway.http.endpoints.responses.enabled"),
        (endpoints(chatCompletions={"images": {"allowUrl": True}}), "gateway.http.endpoints.chatCompletions.images"),
        ({"cluster": {"redisUrl": "redis://r"}}, "cluster.redisUrl"),
        ({"tools": {"profile": "full"}, "cluster": {"redisUrl": "redis://r"}}, "tools.profile, cluster.redisUrl"),
    ],
)  # fmt: skip
def test_what_has_no_effect_is_one_line(place: Place, document: Any, paths: str) -> None:
    """Everything that is asked for and not done is named by its path, in one warning."""
    assert place.load(document, OPENCLAW_GATEWAY_TOKEN="t", P="coding").warnings == (WITHOUT_EFFECT + paths,)


@pytest.mark.parametrize(
    "document",
    [
        {},
        chosen(defaults={"model": {"primary": "openai/a", "fallbacks": []}}),
        {"tools": {"profile": "minimal", "deny": [], "exec": {}}},
        {"tools": {"profile": "${P}"}},
        {"agents": {"list": [{"id": "a", "tools": {"profile": "minimal"}}]}},
        {"mcp": {"servers": {}}},
        {"mcp": {"servers": {"files": {"command": "x", "enabled": False}}}},
        endpoints(responses={"enabled": False}, chatCompletions={"enabled": True, "images": {}}),
    ],
)
def test_what_asks_for_nothing_is_not_told(place: Place, document: Any) -> None:
    """A key that changes nothing is no reason for a warning."""
    assert place.load(document, OPENCLAW_GATEWAY_TOKEN="t", P="minimal").warnings == ()


@pytest.mark.parametrize(
    ("agents", "warnings"),
    [
        ({"list": [{"id": "a"}, {"id": "b", "model": "anthropic/x"}]}, {"agents.list[1].model": "b"}),
        ({"entries": {"a": {"model": {"primary": "anthropic/x"}}}}, {"agents.entries.a.model": "a"}),
        ({"defaults": {"model": "anthropic/x"}}, {"agents.defaults.model": "main"}),
        (
            {"defaults": {"model": "anthropic/x"},
             "list": [{"id": "a"}, {"id": "b"}, {"id": "c", "model": "openai/x"}, {"id": "d", "model": "anthropic/y"}]},
            {"agents.defaults.model": "a, b", "agents.list[3].model": "d"},
        ),
        ({"defaults": {"model": "anthropic/x"}, "list": [{"id": "a", "model": "openai/x"}]}, {}),
        ({"defaults": {"model": "openai/x"}}, {}),
    ],
)  # fmt: skip
def test_agents_whose_provider_is_not_understood(place: Place, agents: Any, warnings: dict[str, str]) -> None:
    """A model that this version can't call is told where it is chosen, with the agents whose runs fail."""
    speaks = "provider anthropic speaks anthropic-messages, which this version does not"
    assert place.load(chosen(**agents)).warnings == tuple(
        f"{path}: {speaks}; the runs of {names} fail" for path, names in warnings.items()
    )
