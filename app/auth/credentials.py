"""From a request's credential to its caller, in each of the four auth modes."""

from __future__ import annotations

import logging
from hmac import compare_digest

from app.auth.caller import ALL_SCOPES, Caller, granted
from app.auth.limiter import AttemptLimiter
from app.auth.proxies import Client, Proxies
from app.auth.request import Request
from app.config.settings import Settings, TrustedProxyAuth
from app.errors import Forbidden, InvalidRequest, Unauthorized

logger = logging.getLogger("gateway.auth")

SCOPES_HEADER = "x-openclaw-scopes"

_SPACE = " \t"  # a bare strip() would cut UTF-8 bytes too: 0x85 and 0xA0 are spaces in Latin-1


def _bearer_secret(request: Request) -> bytes | None:
    """The bytes after ``Bearer`` (RFC 6750, the scheme in any case); ``None`` when there are none."""
    scheme, _, secret = request.headers.get("authorization", "").strip(_SPACE).partition(" ")
    secret = secret.strip(_SPACE)
    if not secret or scheme.lower() != "bearer":
        return None
    try:
        return secret.encode("latin-1")
    except UnicodeEncodeError:  # no WSGI server gives such text, but a test client does
        return secret.encode("utf-8", "surrogatepass")


def _text(name: str, value: str) -> str:
    """A WSGI header's value as its sender wrote it. Raises InvalidRequest.

    Of two encodings one would be a guess, and two users might be one.
    """
    try:
        return value.encode("latin-1").decode("utf-8")
    except UnicodeError:
        raise InvalidRequest(f"the header {name} is not UTF-8") from None


def _requested_scopes(request: Request) -> frozenset[str]:
    if SCOPES_HEADER in request.repeated:
        raise InvalidRequest(f"the header {SCOPES_HEADER} is given twice")
    listed = request.headers.get(SCOPES_HEADER)
    return ALL_SCOPES if listed is None else granted(name.strip() for name in listed.split(","))


class Authenticator:
    """Decides who sent a request, under one ``Settings``; a reload makes a new one with the same ``limiter``."""

    def __init__(self, settings: Settings, limiter: AttemptLimiter) -> None:
        auth = settings.gateway.auth
        secret = auth.secret
        self._limiter = limiter
        self._rate_limit = auth.rate_limit
        self._proxies = Proxies(settings.gateway.trusted_proxies)
        self._proxy_auth = auth.trusted_proxy
        self._secret = secret.encode("utf-8", "surrogatepass") if secret else None
        self._secret_mode = "token" if auth.mode == "token" else "password"
        self._admit = {
            "token": self._by_secret,
            "password": self._by_secret,
            "trusted-proxy": self._by_proxy,
            "none": self._openly,
        }[auth.mode]

    def authenticate(self, request: Request) -> Caller:
        """Tell who sent ``request``.

        Raises ``Unauthorized`` without the right credential, ``TooManyAttempts`` while the client's address is locked,
        ``Forbidden`` for a client that the mode doesn't serve, ``InvalidRequest`` for an ambiguous header.
        """
        return self.authenticate_by(_bearer_secret(request), request)

    def authenticate_by(self, secret: bytes | None, request: Request) -> Caller:
        """The same where the secret came in a frame behind ``request``, a WebSocket's handshake."""
        return self._admit(secret, request, self._proxies.client(request))

    def client(self, request: Request) -> Client:
        """Where ``request`` comes from, seen through trusted proxies."""
        return self._proxies.client(request)

    def _by_secret(self, given: bytes | None, request: Request, client: Client) -> Caller:
        limited = not (client.local and self._rate_limit.exempt_loopback)
        if limited:
            self._limiter.check(client.address)
        if given is None or self._secret is None:
            raise Unauthorized
        if not compare_digest(given, self._secret):
            if limited:
                self._limiter.failed(client.address, self._rate_limit)
            raise Unauthorized
        if limited:
            self._limiter.succeeded(client.address)
        return Caller(self._secret_mode, ALL_SCOPES, client.address, client.local, self._secret_mode)

    def _by_proxy(self, given: bytes | None, request: Request, client: Client) -> Caller:
        proxy = self._proxy_auth
        refusal = _proxy_refusal(proxy, request, client)
        if proxy is None or refusal:
            if client.local and self._secret is not None:
                return self._by_secret(given, request, client)
            logger.info("request from %s refused: %s", client.address, refusal)
            raise Unauthorized
        header = proxy.user_header.lower()
        if header in request.repeated:
            raise InvalidRequest(f"the header {header} is given twice")
        user = _text(header, request.headers[header].strip(_SPACE))
        if proxy.allow_users and user not in proxy.allow_users:
            raise Forbidden("this user is not on gateway.auth.trustedProxy.allowUsers")
        # never local: even where the proxy sends no forwarded header, its user is somewhere else
        return Caller(user, _requested_scopes(request), client.address, False, "trusted-proxy")

    def _openly(self, given: bytes | None, request: Request, client: Client) -> Caller:
        if client.forwarded and not client.trusted:
            raise Forbidden(
                "without auth a forwarded request is served only from a known proxy: set gateway.trustedProxies"
            )
        if not client.loopback and not client.trusted:
            raise Forbidden("without auth only this machine is served: set gateway.auth.mode")
        return Caller(None, _requested_scopes(request), client.address, client.local, "none")


def _proxy_refusal(proxy: TrustedProxyAuth | None, request: Request, client: Client) -> str | None:
    """Why the peer's word on its user isn't taken; ``None`` when it is."""
    if proxy is None:
        return "gateway.auth.trustedProxy is not set"
    if not client.trusted:
        return "the peer is not in gateway.trustedProxies"
    if client.loopback and not proxy.allow_loopback:
        return "gateway.auth.trustedProxy.allowLoopback is not set"
    for name in (*proxy.required_headers, proxy.user_header):
        if not request.headers.get(name.lower(), "").strip(_SPACE):
            return f"the proxy sent no {name}"
    return None
