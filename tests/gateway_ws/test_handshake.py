"""``connect``: who is let in, with what, and how the others are told."""

from __future__ import annotations

import base64
import hashlib
import json
import time
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from tests.conftest import StartGateway
from tests.gateway_ws.client import CLIENT, Client, Refused, connected
from tests.live.gateway import TOKEN, Gateway


def refused(asking: Client, /, **connect: Any) -> Refused:
    """How ``connect`` is refused."""
    with pytest.raises(Refused) as refusal:
        asking.connect(**connect)
    return refusal.value


def turned_away(gateway: Gateway, **connect: Any) -> Refused:
    """The same for a client that leaves then."""
    client = Client(gateway)
    try:
        return refused(client, **connect)
    finally:
        client.close()


def test_a_client_with_the_token_is_welcome(gateway: Gateway) -> None:
    """The challenge has a nonce of its own, and hello-ok says what is served to whom."""
    with connected(gateway) as client, connected(gateway) as other:
        assert client.nonce != other.nonce
        hello = client.hello
        assert hello["type"] == "hello-ok"
        assert hello["protocol"] == 4
        assert hello["server"]["connId"] != other.hello["server"]["connId"]
        assert hello["auth"] == {"role": "operator", "scopes": ["operator.admin"]}
        assert hello["policy"] == {"maxPayload": 26214400, "maxBufferedBytes": 52428800, "tickIntervalMs": 15000}
        assert hello["snapshot"]["sessionDefaults"] == {
            "defaultAgentId": "main",
            "mainKey": "main",
            "mainSessionKey": "agent:main:main",
        }
        assert hello["snapshot"]["configPath"] == str(gateway.config_path)
        assert hello["snapshot"]["authMode"] == "token"
        assert "chat.send" in hello["features"]["methods"]


def test_any_path_upgrades(gateway: Gateway) -> None:
    """A client finds the control plane at whatever path it was told."""
    client = Client(gateway, "/some/where?x=1")
    assert client.connect().hello["type"] == "hello-ok"
    client.close()


@pytest.mark.parametrize(("method", "path"), [("GET", "/unknown"), ("POST", "/unknown"), ("GET", "/"), ("POST", "/")])
def test_plain_http_is_answered_as_before(gateway: Gateway, method: str, path: str) -> None:
    """That every path upgrades changes nothing for requests that don't ask for it."""
    assert gateway.call(path, method=method).status == 404


@pytest.mark.parametrize(
    ("lowest", "highest", "spoken"), [(3, 3, 3), (3, 4, 4), (1, 3, 3), (4, 9, 4)], ids=["3", "3-4", "1-3", "4-9"]
)
def test_the_highest_common_version_is_spoken(gateway: Gateway, lowest: int, highest: int, spoken: int) -> None:
    """Both sides' newest version counts."""
    with connected(gateway, minProtocol=lowest, maxProtocol=highest) as client:
        assert client.hello["protocol"] == spoken


@pytest.mark.parametrize(("lowest", "highest"), [(5, 9), (1, 2), (4, 3)], ids=["newer", "older", "none"])
def test_without_a_common_version_the_client_is_told_which(gateway: Gateway, lowest: int, highest: int) -> None:
    """PROTOCOL_MISMATCH names what this gateway speaks, and the close code is 1002."""
    client = Client(gateway)
    error = refused(client, minProtocol=lowest, maxProtocol=highest).error
    assert error["details"]["code"] == "PROTOCOL_MISMATCH"
    assert error["details"]["expectedProtocol"] == 4
    assert client.closed().code == 1002


def test_a_wrong_token_is_told_and_closed(gateway: Gateway) -> None:
    """The message says what to provide; the code is for programs."""
    client = Client(gateway)
    error = refused(client, token="wrong").error
    assert error["message"] == "unauthorized: gateway token mismatch (provide gateway auth token)"
    assert error["details"]["code"] == "AUTH_TOKEN_MISMATCH"
    assert client.closed().code == 1008


def test_no_token_is_another_error_than_a_wrong_one(gateway: Gateway) -> None:
    """Clients ask their user only when something is missing."""
    client = Client(gateway)
    assert refused(client, token=None).error["details"]["code"] == "AUTH_TOKEN_MISSING"
    assert client.closed().code == 1008


def test_the_token_may_stand_where_the_password_does(gateway: Gateway) -> None:
    """Whichever field a client has for the secret."""
    with connected(gateway, token=None, auth={"password": TOKEN}) as client:
        assert client.hello["type"] == "hello-ok"


def test_in_password_mode_the_errors_speak_of_passwords(start_gateway: StartGateway) -> None:
    """And the password may stand in the token's field."""
    gateway = start_gateway(gateway={"auth": {"mode": "password", "password": "p" * 20}})
    assert turned_away(gateway, token="wrong").error["details"]["code"] == "AUTH_PASSWORD_MISMATCH"
    assert turned_away(gateway, token=None).error["details"]["code"] == "AUTH_PASSWORD_MISSING"
    with connected(gateway, token="p" * 20) as welcome:
        assert welcome.hello["snapshot"]["authMode"] == "password"


def test_too_many_wrong_tokens_lock_the_address_on_both_doors(start_gateway: StartGateway) -> None:
    """HTTP and WebSocket count together, and the lock says when to come back."""
    limit = {"maxAttempts": 2, "windowMs": 60000, "lockoutMs": 60000, "exemptLoopback": False}
    gateway = start_gateway(gateway={"auth": {"rateLimit": limit}})
    assert gateway.call("/v1/models", method="GET", token="wrong").status == 401
    turned_away(gateway, token="wrong")
    error = turned_away(gateway).error
    assert error["details"]["code"] == "AUTH_RATE_LIMITED"
    assert error["code"] == "UNAVAILABLE"
    assert 0 < error["retryAfterMs"] <= 60000
    assert gateway.call("/v1/models", method="GET").status == 429


@pytest.mark.parametrize(
    "asked",
    [(), ("operator.read",), ("operator.write", "operator.unknown")],
    ids=["none", "read", "write-and-unknown"],
)
def test_a_client_has_the_scopes_that_it_asks_for(gateway: Gateway, asked: tuple[str, ...]) -> None:
    """None asked means none; what doesn't exist is not given."""
    with connected(gateway, scopes=asked) as client:
        assert client.hello["auth"]["scopes"] == [scope for scope in asked if scope != "operator.unknown"]
        if not asked:
            assert "configPath" not in client.hello["snapshot"]
            assert client.hello["snapshot"]["presence"] == []


def test_a_proxy_decides_what_its_user_may(start_gateway: StartGateway) -> None:
    """The scopes header of the opening handshake cuts what the frame asks for."""
    gateway = start_gateway(
        gateway={
            "auth": {
                "mode": "trusted-proxy",
                "trustedProxy": {"userHeader": "x-user", "allowLoopback": True},
            },
            "trustedProxies": ["127.0.0.1"],
        }
    )
    headers = ["x-user: ann", "x-openclaw-scopes: operator.read"]
    client = Client(gateway, header=headers).connect(token=None)
    assert client.hello["auth"]["scopes"] == []
    client.close()
    client = Client(gateway, header=headers).connect(token=None, scopes=("operator.read", "operator.admin"))
    assert client.hello["auth"]["scopes"] == ["operator.read"]
    assert client.hello["snapshot"]["presence"][0]["user"] == {"id": "ann"}
    client.close()
    assert turned_away(gateway, token=None).error["details"]["code"] == "AUTH_UNAUTHORIZED"


def test_a_page_of_a_foreign_origin_is_told_why(gateway: Gateway) -> None:
    """It is let in as far as the first frame, so that its page can read the error."""
    client = Client(gateway, header=["Origin: https://evil.example"])
    error = refused(client).error
    assert error["message"].startswith("origin not allowed")
    assert error["details"]["code"] == "CONTROL_UI_ORIGIN_NOT_ALLOWED"
    assert client.closed().code == 1008


def test_a_page_of_an_allowed_origin_is_welcome(start_gateway: StartGateway) -> None:
    """``controlUi.allowedOrigins`` counts here as well."""
    gateway = start_gateway(gateway={"controlUi": {"allowedOrigins": ["https://good.example"]}})
    client = Client(gateway, header=["Origin: https://good.example"])
    assert client.connect().hello["type"] == "hello-ok"
    client.close()


def test_a_foreign_host_name_gets_no_connection(gateway: Gateway) -> None:
    """DNS rebinding ends before there is a WebSocket."""
    with gateway.connect() as raw:
        raw.sendall(
            b"GET / HTTP/1.1\r\nHost: evil.example\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
            b"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"
        )
        assert raw.recv(4096).startswith(b"HTTP/1.1 403")


@pytest.mark.parametrize(
    "first",
    [
        json.dumps({"type": "req", "id": "1", "method": "health"}),
        json.dumps({"type": "event", "event": "x"}),
        "nonsense",
        "[]",
        "{}",
    ],
    ids=["method", "event", "text", "list", "empty"],
)
def test_the_first_frame_must_be_connect(gateway: Gateway, first: str) -> None:
    """Whatever else comes first is told so, and the connection is closed with 1008."""
    client = Client(gateway)
    client.challenge()
    client.send(first)
    answer = client.receive()
    assert answer["error"]["message"] == "invalid handshake: first request must be connect"
    assert answer["id"] == ("1" if '"1"' in first else "invalid")
    assert client.closed().code == 1008


@pytest.mark.parametrize(
    ("change", "where"),
    [
        ({"client": {**CLIENT, "version": 1}}, "client.version"),
        ({"client": None}, "client: must not be null"),
        ({"client": []}, "client: must be an object"),
        ({"client": {**CLIENT, "more": 1}}, "client.more: is not a parameter of this method"),
        ({"minProtocol": "4"}, "minProtocol"),
        ({"maxProtocol": None}, "maxProtocol: must not be null"),
        ({"scopes": "operator.admin"}, "scopes"),
        ({"scopes": [None]}, "scopes[0]: must not be null"),
        ({"unheardOf": 1}, "unheardOf"),
        ({"device": {"id": "x"}}, "device.publicKey: is required"),
    ],
    ids=[
        "client.version",
        "client",
        "client-list",
        "client.more",
        "minProtocol",
        "maxProtocol",
        "scopes",
        "scope",
        "unknown",
        "device",
    ],
)
def test_a_wrong_connect_names_the_field(gateway: Gateway, change: dict[str, Any], where: str) -> None:
    """The path of the first fault stands in the message."""
    error = turned_away(gateway, **change).error
    assert error["code"] == "INVALID_REQUEST"
    assert f"invalid connect params: {where}" in error["message"]


def test_a_client_of_an_unknown_kind_is_welcome(gateway: Gateway) -> None:
    """Own clients need not pretend to be one of OpenClaw's."""
    with connected(gateway, client={**CLIENT, "id": "my-own", "mode": "something"}) as client:
        assert client.hello["snapshot"]["presence"][0]["mode"] == "something"


def test_what_is_null_is_as_if_it_were_left_out(gateway: Gateway) -> None:
    """Also a whole block; what nobody reads may be anything."""
    nothing = {"device": None, "role": None, "caps": None, "locale": "x" * 1000, "userAgent": ""}
    with connected(gateway, client={**CLIENT, "displayName": None}, **nothing) as client:
        assert client.hello["snapshot"]["presence"][0]["host"] == CLIENT["id"]


def test_another_role_than_operator_is_refused(gateway: Gateway) -> None:
    """Nodes and workers are no part of this gateway."""
    assert "role" in turned_away(gateway, role="node").error["message"]


class Device:
    """A key pair, and the ``device`` block that it makes."""

    def __init__(self) -> None:
        self.key = Ed25519PrivateKey.generate()
        self.public = self.key.public_key().public_bytes_raw()
        self.id = hashlib.sha256(self.public).hexdigest()

    def block(self, client: Client, version: str = "v3", **changes: Any) -> dict[str, Any]:
        at = int(time.time() * 1000)
        parts = [version, self.id, CLIENT["id"], CLIENT["mode"], "operator", "operator.admin", str(at), TOKEN]
        parts.append(client.challenge())
        if version == "v3":
            parts += [CLIENT["platform"], ""]
        block = {
            "id": self.id,
            "publicKey": _url_safe(self.public),
            "signature": _url_safe(self.key.sign("|".join(parts).encode())),
            "signedAt": at,
            "nonce": client.nonce,
        }
        # The challenge has been taken already.
        client.challenge = lambda: client.nonce  # type: ignore[method-assign]
        return block | changes


def _url_safe(raw: bytes) -> str:
    return base64.urlsafe_b64encode(raw).rstrip(b"=").decode()


@pytest.mark.parametrize("version", ["v2", "v3"])
def test_a_device_that_signs_the_challenge_is_known(gateway: Gateway, version: str) -> None:
    """Its fingerprint shows in the presence."""
    client, device = Client(gateway), Device()
    client.connect(device=device.block(client, version))
    assert client.hello["snapshot"]["presence"][0]["deviceId"] == device.id
    client.close()


@pytest.mark.parametrize(
    ("change", "code"),
    [
        ({"signature": _url_safe(b"x" * 64)}, "DEVICE_AUTH_SIGNATURE_INVALID"),
        ({"signature": "é"}, "DEVICE_AUTH_SIGNATURE_INVALID"),
        ({"nonce": "another"}, "DEVICE_AUTH_NONCE_MISMATCH"),
        ({"signedAt": 1}, "DEVICE_AUTH_SIGNATURE_EXPIRED"),
        ({"id": "0" * 64}, "DEVICE_AUTH_DEVICE_ID_MISMATCH"),
        ({"publicKey": "short"}, "DEVICE_AUTH_PUBLIC_KEY_INVALID"),
    ],
    ids=["signature", "no-base64", "nonce", "time", "id", "key"],
)
def test_a_device_that_does_not_prove_itself_is_refused(gateway: Gateway, change: dict[str, Any], code: str) -> None:
    """Even with the right token: a wrong proof is worse than none."""
    client, device = Client(gateway), Device()
    assert refused(client, device=device.block(client, **change)).error["details"]["code"] == code
    assert client.closed().code == 1008
