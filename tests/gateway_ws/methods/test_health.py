"""health, status, system-presence and usage.status."""

from __future__ import annotations

import os

import pytest

from tests.conftest import StartGateway
from tests.gateway_ws.client import connected
from tests.gateway_ws.contract import check_result
from tests.live.gateway import Gateway, config_for
from tests.scripted import Reply, ScriptedProvider, Status, Usage


def test_health_is_that_of_the_handshake(gateway: Gateway) -> None:
    """The same shape, told to whoever may read; what OpenClaw's clients send along is taken."""
    with connected(gateway) as client:
        health = client.call("health", {"probe": True})
        check_result("health", health)
        assert health["ok"] is True
        assert [agent["agentId"] for agent in health["agents"]] == ["main", "beta"]
        assert client.hello["snapshot"]["health"].keys() == health.keys()


def test_status_says_how_the_gateway_is(start_gateway: StartGateway, provider: ScriptedProvider) -> None:
    """Process, sessions, runs, and what does not work."""
    config = config_for(provider.base_url)
    config["models"]["providers"]["scripted"]["models"] = [{"id": "m"}, {"id": "n"}]
    config["agents"]["list"][0]["model"] = {"primary": "scripted/m", "fallbacks": ["scripted/n"]}
    gateway = start_gateway(config=config)
    provider.enqueue(Status(401), Reply("hi"))
    gateway.chat(user="ann")
    with connected(gateway) as client:
        status = client.call("status")
    assert status["sessions"]["count"] == 1
    assert status["sessions"]["recent"][0]["key"] == "agent:main:openai-user:ann"
    assert status["sessions"]["defaults"]["model"] == "scripted/m"
    assert status["runs"] == {"active": 0, "max": 2000}
    assert status["connections"] == 1
    assert status["failing"] == []
    assert list(status["modelsSetAside"]) == ["scripted/m"]
    assert status["memory"]["rssBytes"] > 10_000_000
    assert os.path.exists(status["sessions"]["paths"][0])
    assert status["runtimeVersion"] == client.hello["server"]["version"]


def test_presence_lists_who_is_connected(gateway: Gateway) -> None:
    """As the handshake does."""
    with connected(gateway) as client:
        entries = client.call("system-presence")
        check_result("system-presence", entries)
        assert client.hello["server"]["connId"] in [entry["instanceId"] for entry in entries]


def test_usage_is_summed_up_with_its_cost(start_gateway: StartGateway, provider: ScriptedProvider) -> None:
    """For today and for thirty days; cached tokens have a price of their own, models without prices are counted."""
    config = config_for(provider.base_url)
    prices = {"input": 2, "output": 10, "cacheRead": 1}
    config["models"]["providers"]["scripted"]["models"] = [{"id": "m", "cost": prices}, {"id": "free"}]
    config["agents"]["list"][1]["model"] = "scripted/free"
    gateway = start_gateway(config=config)
    for model in ("openclaw", "openclaw/beta"):
        provider.enqueue(Reply("hi", usage=Usage(1000, 200, cached=400)))
        gateway.chat(user="ann", model=model)
    with connected(gateway) as client:
        usage = client.call("usage.status")
    today = usage["totals"]["today"]
    assert today == usage["totals"]["last30Days"]
    assert {name: today[name] for name in ("turns", "input", "output", "cacheRead", "totalTokens")} == {
        "turns": 2,
        "input": 1200,
        "output": 400,
        "cacheRead": 800,
        "totalTokens": 2400,
    }
    assert today["totalCost"] == pytest.approx((600 * 2 + 400 * 1 + 200 * 10) / 1_000_000)
    assert today["missingCostEntries"] == 1
    assert [each["provider"] for each in usage["providers"]] == ["scripted", "local"]
