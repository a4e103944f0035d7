"""models.list."""

from __future__ import annotations

import time

import pytest

from tests.conftest import StartGateway
from tests.gateway_ws.client import Refused, connected
from tests.gateway_ws.contract import check_result
from tests.live.gateway import Gateway, config_for
from tests.scripted import ScriptedProvider, Status


def test_every_model_is_listed_once(start_gateway: StartGateway, provider: ScriptedProvider) -> None:
    """Those of the file with what it says of them, those that agents name, and the built-in one."""
    config = config_for(provider.base_url)
    config["models"]["providers"]["scripted"]["models"] = [
        {"id": "m", "name": "Em", "contextWindow": 9000, "reasoning": True, "input": ["text", "image"]}
    ]
    config["models"]["providers"]["open"] = {"baseUrl": provider.base_url}
    config["models"]["providers"]["keyless"] = {"baseUrl": "https://api.openai.com/v1", "models": [{"id": "gpt"}]}
    config["agents"]["list"][1]["model"] = {"primary": "open/n", "fallbacks": ["anthropic/claude", "scripted/m"]}
    gateway = start_gateway(config=config, env={"ANTHROPIC_API_KEY": "a-key"})
    with connected(gateway) as client:
        models = client.call("models.list", {"view": "all", "agentId": "beta"})
    check_result("models.list", models)
    shown = {f"{model['provider']}/{model['id']}": model for model in models["models"]}
    assert list(shown) == [
        "scripted/m",
        "keyless/gpt",
        "open/n",
        "anthropic/claude",
        "local/smollm2-135m",
    ]
    assert shown["scripted/m"] == {
        "id": "m",
        "name": "Em",
        "provider": "scripted",
        "reasoning": True,
        "input": ["text", "image"],
        "available": True,
        "contextWindow": 9000,
    }
    assert shown["anthropic/claude"]["input"] == ["text", "image"]
    available = {name: model.get("unavailableReason", model["available"]) for name, model in shown.items()}
    assert available == {**dict.fromkeys(shown, True), "keyless/gpt": "missing-auth"}


def test_a_model_that_failed_is_not_available(start_gateway: StartGateway, provider: ScriptedProvider) -> None:
    """Until it is asked again."""
    gateway = start_gateway()
    provider.enqueue(Status(401))
    gateway.chat()
    with connected(gateway) as client:
        [model] = [each for each in client.call("models.list")["models"] if each["provider"] == "scripted"]
    assert (model["available"], model["unavailableReason"]) == (False, "cooldown")
    assert model["unavailableUntil"] > time.time() * 1000


def test_an_agent_that_is_not_there(gateway: Gateway) -> None:
    """It is named in the details."""
    with connected(gateway) as client, pytest.raises(Refused) as refusal:
        client.call("models.list", {"agentId": "nobody"})
    assert refusal.value.error["details"] == {"code": "UNKNOWN_AGENT_ID", "agentId": "nobody"}
