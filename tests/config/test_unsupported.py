from typing import Any

import pytest

from tests.config.conftest import Place

WITHOUT_EFFECT = "not supported by this version and without effect: "
RESPONSES = {"gateway": {"http": {"endpoints": {"responses": {"enabled": True}}}}}
CLUSTER = {"cluster": {"redisUrl": "redis://r"}}


@pytest.mark.parametrize(
    ("document", "paths"),
    [
        (RESPONSES, "gateway.http.endpoints.responses.enabled"),
        (CLUSTER, "cluster.redisUrl"),
        ({"cluster": {"redisUrl": "${REDIS}"}}, "cluster.redisUrl"),
        (RESPONSES | CLUSTER, "gateway.http.endpoints.responses.enabled, cluster.redisUrl"),
    ],
)
def test_what_has_no_effect_is_one_line(place: Place, document: Any, paths: str) -> None:
    """Everything that is asked for and not done is named by its path, in one warning."""
    loaded = place.load(document, OPENCLAW_GATEWAY_TOKEN="t", REDIS="redis://r")
    assert loaded.warnings == (WITHOUT_EFFECT + paths,)


@pytest.mark.parametrize(
    "document",
    [
        {},
        {"cluster": {}},
        {"gateway": {"http": {"endpoints": {"responses": {"enabled": False}}}}},
        {"gateway": {"http": {"endpoints": {"responses": {}}}}},
    ],
)
def test_what_asks_for_nothing_is_not_told(place: Place, document: Any) -> None:
    """A key that changes nothing is no reason for a warning."""
    assert place.load(document).warnings == ()


@pytest.mark.parametrize(
    "document",
    [
        {"gateway": {"http": {"endpoints": {"chatCompletions": {"enabled": True, "images": {"allowUrl": True}}}}}},
        {
            "agents": {
                "defaults": {
                    "model": {"primary": "p/a", "fallbacks": ["q/b", "r/c"]},
                    "workspace": "~/w",
                    "contextTokens": 4096,
                    "tools": {"profile": "full"},
                },
                "list": [{"id": "a", "workspace": "~/v", "tools": {"deny": ["exec"]}}],
            },
            "models": {
                "providers": {
                    "p": {"baseUrl": "http://p"},
                    "q": {"baseUrl": "http://q", "api": "anthropic-messages"},
                    "r": {"baseUrl": "http://r", "api": "openai-responses"},
                }
            },
        },
        {"tools": {"profile": "coding", "alsoAllow": ["read"], "exec": {"security": "full"}}},
        {"mcp": {"servers": {"files": {"command": "x"}, "web": {"url": "http://x"}}}},
    ],
)
def test_what_has_effect_is_not_told(place: Place, document: Any) -> None:
    """Images, fallbacks, workspaces, windows, tools, MCP servers and all three formats work, so nothing is said."""
    assert place.load(document).warnings == ()
