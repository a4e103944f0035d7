"""logs.tail."""

from __future__ import annotations

import pytest

from tests.gateway_ws.client import Refused, connected
from tests.gateway_ws.contract import check_result
from tests.live.gateway import TOKEN, Gateway


def test_the_log_can_be_followed(gateway: Gateway) -> None:
    """What is logged after the first call comes with the next, as it is printed."""
    with connected(gateway) as client:
        first = client.call("logs.tail", {"limit": 5})
        check_result("logs.tail", first)
        assert 0 < len(first["lines"]) <= 5
        run = gateway.chat(user="logs").headers["x-openclaw-run-id"]
        following = client.call("logs.tail", {"cursor": first["cursor"], "limit": 100, "maxBytes": 10_000})
        check_result("logs.tail", following)
        told = [line for line in following["lines"] if f"run {run} agent=main" in line]
        assert len(told) == 1
        assert told[0] in gateway.log
        assert not any(TOKEN in line for line in following["lines"])


@pytest.mark.parametrize(
    "params", [{"cursor": -1}, {"limit": 0}, {"limit": 5001}, {"maxBytes": 1_000_001}, {"limit": "5"}, {"lines": 5}]
)
def test_bounds_are_checked(gateway: Gateway, params: dict[str, object]) -> None:
    """What the published schema doesn't take is refused, and named."""
    with connected(gateway) as client, pytest.raises(Refused, match=next(iter(params))) as refusal:
        client.call("logs.tail", params)
    assert refusal.value.code == "INVALID_REQUEST"


def test_what_the_contract_allows_to_ask_for_is_answered(gateway: Gateway) -> None:
    """However much is kept."""
    with connected(gateway) as client:
        assert client.call("logs.tail", {"limit": 5000, "maxBytes": 1_000_000})["lines"]
        with pytest.raises(Refused, match="limit"):
            client.call("logs.tail", {"limit": 5001})
