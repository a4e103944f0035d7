"""sessions.subscribe, sessions.messages.subscribe and its opposite."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from app.gateway_ws.methods.sessions_watch import MAX_WATCHED
from tests.gateway_ws.client import Client, Refused, connected
from tests.live.gateway import Gateway


@pytest.fixture
def client(gateway: Gateway) -> Iterator[Client]:
    with connected(gateway) as client:
        yield client


def test_subscribers_hear_of_changes(gateway: Gateway, client: Client) -> None:
    """Made by anybody, with what kind of change it was; others hear nothing."""
    with connected(gateway) as deaf:
        assert client.call("sessions.subscribe") == {"subscribed": True}
        deaf.call("sessions.create", {"key": "watched"})
        deaf.call("sessions.patch", {"key": "watched", "label": "Watched"})
        deaf.call("sessions.delete", {"key": "watched"})
        for reason in ("created", "patched", "deleted"):
            client.event("sessions.changed", sessionKey="agent:main:watched", reason=reason)
        assert deaf.heard("sessions.changed") == []


def test_messages_of_a_session_are_heard(gateway: Gateway, client: Client) -> None:
    """As the history has them, and only of the sessions that were named."""
    assert client.call("sessions.messages.subscribe", {"key": "heard"}) == {
        "subscribed": True,
        "key": "agent:main:heard",
    }
    for key in ("unheard", "heard"):
        gateway.chat("hello", headers={"x-openclaw-session-key": f"agent:main:{key}"})
    client.event("session.message", sessionKey="agent:main:heard", messageSeq=2)
    told = [event["payload"]["message"] for event in client.heard("session.message")]
    assert told == client.call("chat.history", {"sessionKey": "heard"})["messages"]
    assert client.call("sessions.messages.unsubscribe", {"key": "heard"})["subscribed"] is False
    gateway.chat("hello", headers={"x-openclaw-session-key": "agent:main:heard"})
    client.call("sessions.describe", {"key": "heard"})
    assert len(client.heard("session.message")) == 2


def test_subscriptions_are_bounded(client: Client) -> None:
    """A client that never unsubscribes is told, not remembered for ever."""
    ids = [client.begin("sessions.messages.subscribe", {"key": f"s{number}"}) for number in range(MAX_WATCHED)]
    for id in ids:
        client.answer(id)
    with pytest.raises(Refused, match="unsubscribe"):
        client.call("sessions.messages.subscribe", {"key": "one more"})
    assert client.call("sessions.messages.subscribe", {"key": "s0"})["subscribed"] is True
