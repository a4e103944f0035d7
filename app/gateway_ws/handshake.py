"""``connect``: the first request of every connection, and what is refused before there is a second.

Source: ``ConnectParams`` and ``HelloOk`` of ``protocol.schema.json``; codes of ``connect-error-details`` beside it.
"""

from __future__ import annotations

import time
from typing import Any, NamedTuple

from marshmallow import ValidationError

from app.auth import ALL_SCOPES, Authenticator, Caller, Guard, Request
from app.auth.caller import granted
from app.config.settings import Auth
from app.errors import Forbidden, GatewayError, InvalidRequest, Overloaded, TooManyAttempts, Unauthorized
from app.gateway_ws.frames import RequestFrame
from app.gateway_ws.params import Group, Ignored, Items, Object, Text, load, params, whole
from app.gateway_ws.times import ms
from app.gateway_ws.transport import POLICY, PROTOCOL_ERROR
from app.http.entry import Entry
from app.http.fields import first_fault
from app.sessions.ownership import Reach

# Versions of the protocol that are spoken here.
OLDEST, NEWEST = 3, 4
ROLE = "operator"

_CONNECT = params(
    minProtocol=whole(1, 1_000_000, required=True),
    maxProtocol=whole(1, 1_000_000, required=True),
    client=Group(
        params(
            id=Text(64, required=True),
            version=Text(96, required=True),
            platform=Text(96, required=True),
            mode=Text(64, required=True),
            displayName=Text(128),
            buildId=Text(96),
            deviceFamily=Text(96),
            modelIdentifier=Text(96),
            timeZone=Text(64),
            instanceId=Text(128),
        ),
        required=True,
    ),
    role=Text(64),
    scopes=Items(Text(64, required=True), 64),
    caps=Items(Text(64, required=True), 64),
    device=Group(
        params(
            id=Text(128, required=True),
            publicKey=Text(512, required=True),
            signature=Text(512, required=True),
            signedAt=whole(0, 2**53, required=True),
            nonce=Text(128, required=True),
        )
    ),
    auth=Group(
        params(
            token=Text(4096, minimum=0, strip=False),
            password=Text(4096, minimum=0, strip=False),
            bootstrapToken=Text(4096, minimum=0, strip=False),
            deviceToken=Text(4096, minimum=0, strip=False),
            approvalRuntimeToken=Ignored(),
            agentRuntimeIdentityToken=Ignored(),
        )
    ),
    commands=Ignored(),
    computerUse=Ignored(),
    workerRuns=Ignored(),
    permissions=Object(),
    pathEnv=Ignored(),
    locale=Ignored(),
    userAgent=Ignored(),
)


class Greeting(NamedTuple):
    """A client that was let in.

    scopes: those that it asked for and may have, included ones not spelled out; they are in ``may``. reach: which
    sessions it may see, hear and write to.
    """

    protocol: int
    client: dict[str, Any]
    caller: Caller
    scopes: tuple[str, ...]
    may: frozenset[str]
    reach: Reach
    device_id: str | None


class Refused(Exception):
    """The connection ends: ``error`` is told, then the close code."""

    def __init__(self, error: GatewayError, code: int = POLICY) -> None:
        super().__init__(error.message)
        self.error = error
        self.code = code


def greet(frame: RequestFrame, nonce: str, seen: Request, entry: Entry, auth: Auth) -> Greeting:
    """Let a client in by its ``connect`` frame. seen: the opening handshake's request. Raises Refused."""
    if frame.method != "connect":
        raise Refused(InvalidRequest("invalid handshake: first request must be connect"))
    try:
        asked = load(_CONNECT, frame.params)
    except ValidationError as error:
        where, reason = first_fault(error.messages)
        where = "params" if where == "_schema" else where
        raise Refused(InvalidRequest(f"invalid connect params: {where}: {reason}"[:300])) from None
    protocol = _protocol(asked)
    _check_origin(entry.guard, seen)
    caller = _caller(asked, seen, entry.authenticator, auth)
    if asked.get("role", ROLE) != ROLE:
        raise Refused(InvalidRequest(f"role: this gateway serves {ROLE!r} only"))
    if "device" in asked:
        # Loaded with the first client that has a key: most have none, and it takes 6 MB.
        from app.gateway_ws import device

        try:
            device.verify(asked, nonce, ms(time.time()))
        except InvalidRequest as error:
            raise Refused(error) from None
    wanted = asked.get("scopes", ())
    scopes = tuple(name for name in dict.fromkeys(wanted) if name in caller.scopes)
    device_id = asked["device"]["id"] if "device" in asked else None
    may = granted(scopes) & ALL_SCOPES
    return Greeting(protocol, asked["client"], caller, scopes, may, Reach.of(caller, may), device_id)


def _protocol(asked: dict[str, Any]) -> int:
    highest = min(int(asked["maxProtocol"]), NEWEST)
    if highest < max(int(asked["minProtocol"]), OLDEST):
        details = {"code": "PROTOCOL_MISMATCH", "expectedProtocol": NEWEST, "minimumProtocol": OLDEST}
        error = InvalidRequest(f"protocol mismatch: this gateway speaks {OLDEST} to {NEWEST}", details=details)
        raise Refused(error, PROTOCOL_ERROR)
    return highest


def _check_origin(guard: Guard, seen: Request) -> None:
    try:
        guard.check_origin(seen)
    except Forbidden as error:
        error.details = {"code": "CONTROL_UI_ORIGIN_NOT_ALLOWED"}
        raise Refused(error) from None


def _caller(asked: dict[str, Any], seen: Request, authenticator: Authenticator, auth: Auth) -> Caller:
    given = asked.get("auth", {})
    secret = given.get("token") or given.get("password")
    try:
        return authenticator.authenticate_by(secret.encode("utf-8", "surrogatepass") if secret else None, seen)
    except Unauthorized:
        raise Refused(_unauthorized(auth, bool(secret))) from None
    except TooManyAttempts as error:
        locked = Overloaded(f"unauthorized: {error.message}", retry_after=int(error.headers["Retry-After"]))
        locked.details = {"code": "AUTH_RATE_LIMITED"}
        raise Refused(locked) from None
    except GatewayError as error:
        error.details = {"code": "AUTH_UNAUTHORIZED"}
        raise Refused(error) from None


def _unauthorized(auth: Auth, given: bool) -> InvalidRequest:
    if auth.mode == "trusted-proxy":
        return InvalidRequest(
            "unauthorized: the proxy named no user (see gateway.auth.trustedProxy)",
            details={"code": "AUTH_UNAUTHORIZED"},
        )
    what = "mismatch" if given else "missing"
    return InvalidRequest(
        f"unauthorized: gateway {auth.mode} {what} (provide gateway auth {auth.mode})",
        details={"code": f"AUTH_{auth.mode.upper()}_{what.upper()}"},
    )
