"""Clients that have not said yet who they are: how many there may be, wherever they say that they come from."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager

import pytest

from app.gateway_ws.plane import MAX_UNKNOWN_EACH
from tests.conftest import StartGateway
from tests.live.expect import head, read_answer
from tests.live.gateway import Gateway

UPGRADE = (
    "Upgrade: websocket",
    "Connection: Upgrade",
    "Sec-WebSocket-Version: 13",
    "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==",
)


def upgrade(gateway: Gateway, *lines: str) -> tuple[socket.socket, int]:
    """A connection that asked for a WebSocket, and the status of the answer."""
    connection = gateway.connect()
    connection.sendall(head(gateway, "GET / HTTP/1.1", *UPGRADE, *lines, token=None))
    beginning = connection.recv(12, socket.MSG_WAITALL)
    return connection, int(beginning.split()[1])


@contextmanager
def unknown(gateway: Gateway, count: int, *lines: str) -> Iterator[None]:
    with ExitStack() as open_ones:
        for _ in range(count):
            connection, status = upgrade(gateway, *lines)
            open_ones.enter_context(connection)
            assert status == 101
        yield


@pytest.mark.parametrize("forwarded", ["X-Forwarded-For: 127.0.0.1", "Forwarded: for=127.0.0.1", "X-Real-IP: 10.0.0.1"])
def test_an_unknown_proxy_on_this_machine_makes_nobody_local(start_gateway: StartGateway, forwarded: str) -> None:
    """Who comes through it is counted as any other address, and those who are local are not kept out by them."""
    gateway = start_gateway()
    with unknown(gateway, MAX_UNKNOWN_EACH, forwarded):
        connection, status = upgrade(gateway, forwarded)
        connection.close()
        assert status == 503
        with unknown(gateway, 1):
            pass
    # Those who are local may be more.
    with unknown(gateway, MAX_UNKNOWN_EACH + 1):
        pass


def test_one_network_is_one_client(start_gateway: StartGateway) -> None:
    """Behind a trusted proxy each address is counted by itself, and of IPv6 a /64 together."""
    gateway = start_gateway(gateway={"trustedProxies": ["127.0.0.1"]})
    with ExitStack() as open_ones:
        for number in range(MAX_UNKNOWN_EACH):
            open_ones.enter_context(unknown(gateway, 1, f"X-Forwarded-For: 2001:db8::{number + 1:x}"))
        connection, status = upgrade(gateway, "X-Forwarded-For: 2001:db8::ffff")
        connection.close()
        assert status == 503
        with unknown(gateway, 1, "X-Forwarded-For: 2001:db8:0:1::1"):
            pass


def test_who_is_welcome_is_a_stranger_no_more(start_gateway: StartGateway) -> None:
    """WebSockets of known clients leave the room of strangers to others."""
    from tests.gateway_ws.client import connected

    gateway = start_gateway(gateway={"connections": {"perProxy": 2}})
    with connected(gateway), connected(gateway), connected(gateway) as last:
        assert gateway.call("/v1/models", method="GET").status == 200
        with gateway.connect() as connection:
            connection.sendall(head(gateway, "GET /v1/models HTTP/1.1"))
            assert read_answer(connection, "GET").status == 200
        assert last.call("health")["ok"]


def test_a_frame_of_megabytes_is_read(gateway: Gateway) -> None:
    """Its members are what they were, in whatever letters, and a fault in it is told."""
    from tests.gateway_ws.client import Refused, connected

    with connected(gateway) as client:
        with pytest.raises(Refused, match="unknown"):
            client.call("health", {"unknown": ["voilà 😀"] * 200_000})
        text = "é😀\n" * 300_000
        client.call("chat.send", {"sessionKey": "megabytes", "message": text, "idempotencyKey": "megabytes"})
        client.event("chat", runId="megabytes", state="final")
        assert gateway.call("/healthz", method="GET").status == 200
        client.send('{"type":"req","id":"1","method":"health","params":[' + "1," * 300_000 + "NaN]}")
        assert "not JSON" in client.receive()["error"]["message"]
