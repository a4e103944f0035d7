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

_CORS_HEADERS = frozenset(("authorization", "content-type", "x-request-id", "idempotency-key"))
_CORS_FAMILIES = re.compile(r"(?:x-openclaw|x-stainless)-[a-z0-9-]+")  # the official SDKs send the latter

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
    """``scheme://host[:port]`` in lower case without a default port; ``null`` as it is, ``None`` if malformed."""
    if origin == "null":
        return origin
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
        """Response headers that let the page of a ``cors.allowedOrigins`` entry read the answer; else none."""
        origin = request.headers.get("origin")
        if not origin or not _allows(self._cors_origins, origin):
            return {}
        return {
            "Access-Control-Allow-Origin": origin,
            "Access-Control-Expose-Headers": EXPOSED,
            "Vary": "Origin",
        }

    def preflight_headers(self, request: Request) -> dict[str, str]:
        """The answer to ``OPTIONS`` with ``Access-Control-Request-Method``, for the same origins; else none."""
        headers = self.cors_headers(request)
        if not headers:
            return {}
        requested = request.headers.get("access-control-request-headers", "").lower()
        allowed = _CORS_HEADERS.union(_CORS_FAMILIES.findall(requested))
        return headers | {
            "Access-Control-Allow-Methods": "GET, POST, OPTIONS",
            "Access-Control-Allow-Headers": ", ".join(sorted(allowed)),
            "Access-Control-Max-Age": "600",
            "Vary": "Origin, Access-Control-Request-Headers",
        }


def _listed(origins: tuple[str, ...]) -> frozenset[str]:
    """Normalized, with ``*`` kept."""
    written = (origin.strip().rstrip("/") for origin in origins)
    return frozenset(origin if origin == "*" else _normalized(origin) or origin for origin in written)


def _allows(origins: frozenset[str], origin: str) -> bool:
    normalized = _normalized(origin)
    return normalized is not None and (normalized in origins or "*" in origins)


def _is_same_origin(origin: str, host: str) -> bool:
    scheme = origin.partition("://")[0]
    if scheme.lower() not in _DEFAULT_PORTS:
        return False
    normalized = _normalized(origin)
    return normalized is not None and normalized == _normalized(f"{scheme}://{host}")
