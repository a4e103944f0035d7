"""The ``device`` block of ``connect``: a client that proves with a signature which key it has.

Source: ``buildDeviceAuthPayload`` and ``buildDeviceAuthPayloadV3`` of the npm package ``@openclaw/gateway-client``.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
from collections.abc import Iterator
from typing import Any

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat, load_pem_public_key

from app.errors import InvalidRequest

# Milliseconds that the client's clock may differ from the gateway's.
MAX_SKEW_MS = 120_000


def verify(connect: dict[str, Any], nonce: str, now_ms: int) -> None:
    """Check the block against the challenge ``nonce``.

    connect: the checked parameters of ``connect``. Raises InvalidRequest with OpenClaw's code in its details.
    """
    device = connect["device"]
    raw = _public_key(device["publicKey"])
    if hashlib.sha256(raw).hexdigest() != device["id"]:
        raise _refused("id-mismatch", "DEVICE_ID_MISMATCH", "device.id is not the fingerprint of device.publicKey")
    if device["nonce"] != nonce:
        raise _refused("nonce-mismatch", "NONCE_MISMATCH", "device.nonce is not the nonce of this connection")
    if abs(device["signedAt"] - now_ms) > MAX_SKEW_MS:
        raise _refused("signature-stale", "SIGNATURE_EXPIRED", "device.signedAt is too far from this gateway's clock")
    key = Ed25519PublicKey.from_public_bytes(raw)
    signature = _decoded(device["signature"])
    if not any(_signed(key, signature, payload) for payload in _payloads(connect)):
        raise _refused("signature", "SIGNATURE_INVALID", "device.signature does not fit this connection")


def _payloads(connect: dict[str, Any]) -> Iterator[bytes]:
    """What may have been signed: version 3 of the text, and version 2 without the platform."""
    client, device, auth = connect["client"], connect["device"], connect.get("auth", {})
    secret = next((auth[name] for name in ("token", "bootstrapToken", "deviceToken") if auth.get(name)), "")
    common = [
        device["id"],
        client["id"],
        client["mode"],
        connect.get("role", "operator"),
        ",".join(connect.get("scopes", ())),
        str(int(device["signedAt"])),
        secret,
        device["nonce"],
    ]
    platform = [client.get(name, "").strip().lower() for name in ("platform", "deviceFamily")]
    yield "|".join(["v3", *common, *platform]).encode()
    yield "|".join(["v2", *common]).encode()


def _signed(key: Ed25519PublicKey, signature: bytes, payload: bytes) -> bool:
    try:
        key.verify(signature, payload)
    except InvalidSignature:
        return False
    return True


def _public_key(text: str) -> bytes:
    """The 32 bytes of an Ed25519 key, from base64url or PEM."""
    try:
        if "BEGIN" in text:
            return load_pem_public_key(text.encode()).public_bytes(Encoding.Raw, PublicFormat.Raw)
        raw = _decoded(text)
    except ValueError:
        raw = b""
    if len(raw) != 32:
        raise _refused("public-key", "PUBLIC_KEY_INVALID", "device.publicKey is no Ed25519 key")
    return raw


def _decoded(text: str) -> bytes:
    try:
        return base64.urlsafe_b64decode(text.translate(_URL_SAFE) + "=" * (-len(text) % 4))
    except (binascii.Error, ValueError):
        return b""


_URL_SAFE = str.maketrans("+/", "-_")


def _refused(reason: str, code: str, message: str) -> InvalidRequest:
    return InvalidRequest(message, details={"code": f"DEVICE_AUTH_{code}", "reason": f"device-{reason}"})
