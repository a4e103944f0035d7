"""The guards that come before auth: against DNS rebinding (Host) and foreign pages (Origin); and CORS."""

from __future__ import annotations

import re
import socket

from app.auth.proxies import parse_address
from app.auth.request import Request
from app.config.settings import Settings
from app.errors import Forbidden

_HOST = re.compile(r"(?:\[([0-9a-f:.]{2,45})\]|([a-z0-9._-]{1,254}))(?::[0-9]{0,5})?", re.IGNORECASE | re.ASCII)
_ORIGIN = re.compile(
    r"([a-z][a-z0-9+.-]*)://(\[[0-9a-f:.]+\]|[a-z0-9._-]+)(?::([0-9]{1,5}))?", re.IGNORECASE | re.ASCII
)
_DEFAULT_PORTS = {"http": "80", "https": "443"}

# What a page may send without having asked, so that a browser need not ask again for it.
_CORS_HEADERS = frozenset(("authorization", "content-type", "x-request-id", "idempotency-key"))
# A name as RFC 9110 section 5.6.2 has it, and how many a page may ask for: no SDK comes near either.
_HEADER_NAME = re.compile(r"[!#$%&'*+.^_`|~0-9a-z-]{1,100}", re.ASCII)
_MOST_HEADERS = 100

# Headers of answers that scripts of allowed origins may read: SDKs decide by two of them whether to ask again.
EXPOSED = (
    "x-request-id, x-openclaw-session-key, x-openclaw-run-id, x-openclaw-ignored-fields, x-should-retry, Retry-After, "
    "Idempotent-Replayed"
)


def _host_name(header: str) -> str | None:
    """The name or address in a Host header, lower case, without port and trailing dot; ``None`` if malformed."""
    match = _HOST.fullmatch(header)
    if match is None:
        return None
    literal, name = match.groups()
    if literal is not None:
        return literal if parse_address(literal) else None
    return name.lower().removesuffix(".") or None


def _normalized(origin: str) -> str | None:
    """``scheme://host[:port]`` in lower case without a default port; ``None`` if it is no such thing."""
    match = _ORIGIN.fullmatch(origin)
    if match is None:
        return None
    scheme, host, port = match.groups()
    scheme, host = scheme.lower(), host.lower().removesuffix(".")
    return f"{scheme}://{host}" if port in (None, _DEFAULT_PORTS.get(scheme)) else f"{scheme}://{host}:{port}"


class Guard:
    """The hosts and origins that one ``Settings`` allows."""

    def __init__(self, settings: Settings) -> None:
        gateway = settings.gateway
        own = (*gateway.control_ui.allowed_origins, *((gateway.public_origin,) if gateway.public_origin else ()))
        machine = socket.gethostname()
        names = ["localhost", "host.docker.internal", machine, machine.partition(".")[0], *gateway.allowed_hosts]
        names += [origin.partition("://")[2].rstrip("/") for origin in own]
        self._hosts = {_host_name(name.strip()) for name in names} - {None}
        self._cors_origins = _listed(gateway.cors_allowed_origins)
        self._origins = _listed(own) | self._cors_origins

    def check_host(self, request: Request) -> None:
        """Raise ``Forbidden`` unless the Host header is an IP literal or a name that is served, whatever the port."""
        name = _host_name(request.headers.get("host", ""))
        if name is None:
            raise Forbidden("the Host header is missing or malformed; gateway.allowedHosts lists further names")
        if name not in self._hosts and not name.endswith(".localhost") and parse_address(name) is None:
            raise Forbidden(f"host {name} is not allowed: add it to gateway.allowedHosts")

    def check_origin(self, request: Request) -> None:
        """Raise ``Forbidden`` for a page of another origin that isn't listed. No Origin header: not a page."""
        origin = request.headers.get("origin")
        if not origin:
            return
        if not _allows(self._origins, origin) and not _is_same_origin(origin, request.headers.get("host", "")):
            raise Forbidden(
                "origin not allowed: add it to gateway.controlUi.allowedOrigins (the control page)"
                " or gateway.http.cors.allowedOrigins (other pages)"
            )

    def cors_headers(self, request: Request) -> dict[str, str]:
        """Response headers that let the page of a ``cors.allowedOrigins`` entry read the answer.

        To others only that the answer depends on who asks, so that no cache gives theirs to such a page.
        """
        if not self._cors_origins:
            return {}
        origin = request.headers.get("origin", "")
        if not _allows(self._cors_origins, origin):
            return {"Vary": "Origin"}
        return {
            "Access-Control-Allow-Origin": origin,
            "Access-Control-Expose-Headers": EXPOSED,
            "Vary": "Origin",
        }

    def preflight_headers(self, request: Request) -> dict[str, str]:
        """The answer to ``OPTIONS`` with ``Access-Control-Request-Method``, for the same origins; else none.

        A page that is trusted with the answers may send whatever headers it likes: SDKs, routers and tracers each have
        their own, and one that is missing here fails the whole request.
        """
        headers = self.cors_headers(request)
        if "Access-Control-Allow-Origin" not in headers:
            return {}
        return headers | {
            "Access-Control-Allow-Methods": "GET, POST, OPTIONS",
            "Access-Control-Allow-Headers": ", ".join(sorted(_CORS_HEADERS | _asked_for(request))),
            "Access-Control-Max-Age": "600",
            "Vary": "Origin, Access-Control-Request-Headers",
        }


def _listed(origins: tuple[str, ...]) -> frozenset[str]:
    """Normalized; what is no origin lists nobody."""
    normalized = (_normalized(origin.strip().rstrip("/")) for origin in origins)
    return frozenset(origin for origin in normalized if origin)


def _allows(origins: frozenset[str], origin: str) -> bool:
    return _normalized(origin) in origins


def _asked_for(request: Request) -> set[str]:
    """The header names of a preflight that could be sent, lower case."""
    names = request.headers.get("access-control-request-headers", "").lower().split(",", _MOST_HEADERS)
    return {name for each in names[:_MOST_HEADERS] if _HEADER_NAME.fullmatch(name := each.strip(" \t"))}


def _is_same_origin(origin: str, host: str) -> bool:
    scheme = origin.partition("://")[0]
    if scheme.lower() not in _DEFAULT_PORTS:
        return False
    normalized = _normalized(origin)
    return normalized is not None and normalized == _normalized(f"{scheme}://{host}")
