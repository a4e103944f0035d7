"""Who is connected, as the others are told."""

from __future__ import annotations

from typing import Any

from tests.gateway_ws.client import CLIENT, Client, connected
from tests.live.gateway import Gateway


def hosts(event: Any) -> list[str]:
    return [entry["host"] for entry in event["payload"]["presence"]]


def until_told(client: Client, *, host: str, there: bool) -> Any:
    """The first event, of those that come from now on too, that has ``host`` or doesn't."""
    found: list[Any] = []

    def told() -> bool:
        found[:] = [event for event in client.heard("presence") if (host in hosts(event)) == there]
        return bool(found)

    client._until(told, 20, f"presence of {host}: {there}")
    return found[0]


def test_who_comes_and_goes_is_told(gateway: Gateway) -> None:
    """To those who may read, with a version that counts up."""
    with connected(gateway) as client:
        visitor = {**CLIENT, "displayName": "the visitor", "instanceId": "visitor-1"}
        with connected(gateway, client=visitor, scopes=("operator.read",)):
            event = until_told(client, host="the visitor", there=True)
            entry = next(each for each in event["payload"]["presence"] if each["host"] == "the visitor")
            assert (entry["instanceId"], entry["scopes"]) == ("visitor-1", ["operator.read"])
            came = event["stateVersion"]["presence"]
            client.events.clear()
        assert until_told(client, host="the visitor", there=False)["stateVersion"]["presence"] > came


def test_command_lines_are_listed_but_change_nothing(gateway: Gateway) -> None:
    """They come and go all the time, so that nobody is told of them alone."""
    with connected(gateway) as client:
        before = client.hello["snapshot"]["stateVersion"]["presence"]
        with connected(gateway, client={**CLIENT, "mode": "cli", "displayName": "a shell"}) as shell:
            assert shell.hello["snapshot"]["stateVersion"]["presence"] == before
            assert "a shell" in [entry["host"] for entry in client.call("system-presence")]
