"""agents.list."""

from __future__ import annotations

from tests.conftest import StartGateway
from tests.gateway_ws.client import connected
from tests.gateway_ws.contract import check_result
from tests.live.gateway import config_for
from tests.scripted import ScriptedProvider


def test_agents_are_listed(start_gateway: StartGateway, provider: ScriptedProvider) -> None:
    """With their models and workspaces; the default one is named."""
    model = {"primary": "scripted/m", "fallbacks": ["scripted/n"]}
    config = config_for(provider.base_url)
    config["models"]["providers"]["scripted"]["models"] = [{"id": "m"}, {"id": "n"}]
    config["agents"]["list"] = [
        {"id": "ann", "name": "Ann", "model": "scripted/m"},
        {"id": "bob", "default": True, "model": model},
    ]
    gateway = start_gateway(config=config)
    with connected(gateway) as client:
        agents = client.call("agents.list")
    check_result("agents.list", agents)
    assert (agents["defaultId"], agents["mainKey"], agents["scope"]) == ("bob", "main", "per-sender")
    ann, bob = agents["agents"]
    assert (ann["id"], ann["name"], ann["model"]) == ("ann", "Ann", {"primary": "scripted/m", "fallbacks": []})
    assert (bob["id"], bob["model"]) == ("bob", model)
    assert bob["workspace"] == str(gateway.state_dir / "workspace")
