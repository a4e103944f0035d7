"""sessions.usage: tokens and what they cost."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from tests.conftest import StartGateway
from tests.gateway_ws.client import Client, Refused, connected
from tests.live.gateway import Gateway
from tests.scripted import Reply, ScriptedProvider, Status, Usage

PRICED = {"providers": {"scripted": {"models": [{"id": "m", "cost": {"input": 2, "output": 10, "cacheRead": 1}}]}}}


@pytest.fixture
def client(gateway: Gateway) -> Iterator[Client]:
    with connected(gateway) as client:
        yield client


def test_usage_is_told_by_session_day_model_and_agent(start_gateway: StartGateway, provider: ScriptedProvider) -> None:
    """Tokens add up the same way in each, and cost what the configuration says for a million."""
    gateway = start_gateway(models=PRICED)
    for key, prompt in (("agent:main:a", 1000), ("agent:main:a", 2000), ("agent:beta:b", 4000)):
        provider.enqueue(Reply("x", usage=Usage(prompt, 100, cached=500)))
        gateway.chat(headers={"x-openclaw-session-key": key, "x-openclaw-agent-id": key.split(":")[1]})
    provider.enqueue(Status(400))
    gateway.chat(headers={"x-openclaw-session-key": "agent:main:a"})
    with connected(gateway) as client:
        told = client.call("sessions.usage", {"range": "7d"})
        totals = told["totals"]
        assert (totals["input"], totals["cacheRead"], totals["output"]) == (5500, 1500, 300)
        assert (totals["totalTokens"], totals["turns"], totals["errors"]) == (7300, 4, 1)
        assert totals["missingCostEntries"] == 0
        assert totals["totalCost"] == pytest.approx((5500 * 2 + 1500 * 1 + 300 * 10) / 1e6)
        by_key = {each["key"]: each["usage"]["totalTokens"] for each in told["sessions"]}
        assert by_key == {"agent:main:a": 3200, "agent:beta:b": 4100}
        aggregates = told["aggregates"]
        assert {each["agentId"]: each["totals"]["totalTokens"] for each in aggregates["byAgent"]} == {
            "main": 3200,
            "beta": 4100,
        }
        (model,) = [each for each in aggregates["byModel"] if each["totals"]["totalTokens"]]
        assert (model["provider"], model["model"], model["totals"]["totalTokens"]) == ("scripted", "m", 7300)
        assert sum(day["tokens"] for day in aggregates["daily"]) == 7300
        assert told["endDate"] >= aggregates["daily"][-1]["date"] >= told["startDate"]
        assert client.call("sessions.usage", {"agentId": "beta"})["totals"]["totalTokens"] == 4100
        assert client.call("sessions.usage", {"key": "a", "limit": 1})["totals"]["totalTokens"] == 3200
        assert len(client.call("sessions.usage", {"limit": 1})["sessions"]) == 1


def test_days_that_were_not_asked_for_do_not_count(
    gateway: Gateway, client: Client, provider: ScriptedProvider
) -> None:
    """Both days that are named belong to it. What has no price is counted, not priced."""
    provider.enqueue(Reply("x", usage=Usage(30, 4)))
    gateway.chat(headers={"x-openclaw-session-key": "agent:main:days"})
    today = datetime.now(UTC).date()
    before = {"startDate": "2020-01-01", "endDate": (today - timedelta(days=2)).isoformat()}
    assert client.call("sessions.usage", {"key": "days", **before})["totals"]["turns"] == 0
    around = {"startDate": before["endDate"], "endDate": (today + timedelta(days=1)).isoformat()}
    told = client.call("sessions.usage", {"key": "days", **around})
    assert (told["totals"]["turns"], told["startDate"], told["endDate"]) == (1, around["startDate"], around["endDate"])
    assert (told["totals"]["missingCostEntries"], told["totals"]["totalCost"]) == (1, 0)
    assert client.call("sessions.usage", {"key": "days", "range": "all"})["startDate"] == "1970-01-01"


@pytest.mark.parametrize(
    ("params", "where"),
    [
        ({"startDate": "2026-13-01"}, "startDate"),
        ({"startDate": 20260101}, "startDate"),
        ({"endDate": "0001-01-01"}, "endDate"),
        ({"endDate": "1970-01-01"}, ""),
        ({"startDate": "2026-02-02", "endDate": "2026-02-01"}, "startDate"),
        ({"endDate": "9999-12-31"}, ""),
        ({"range": "2d"}, "range"),
        ({"mode": "gateway"}, "mode"),
        ({"agentId": "ghost"}, "agentId"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_what_is_wrong_is_named(client: Client, params: dict[str, Any], where: str) -> None:
    """Each fault has the path of its parameter; a day far off is none."""
    if not where:
        assert client.call("sessions.usage", params)["totals"]["turns"] == 0
        return
    with pytest.raises(Refused, match=where) as refusal:
        client.call("sessions.usage", params)
    assert refusal.value.code == "INVALID_REQUEST"
