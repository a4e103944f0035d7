"""What a door knows of a request before its body is read: all that auth looks at."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, Self

from app.errors import InvalidRequest

_NONE: frozenset[str] = frozenset()


@lru_cache(maxsize=256)
def _header_name(key: str) -> str:
    return key[5:].replace("_", "-").lower()


@dataclass(frozen=True, slots=True)
class Request:
    """The peer and the headers of one HTTP request or WebSocket handshake.

    peer:     address of the socket's other end, ``""`` for a unix socket.
    headers:  by lower-case name with dashes; values as WSGI gives them (bytes read as Latin-1).
    repeated: lower-case names of headers that came more than once.
    """

    peer: str
    headers: Mapping[str, str]
    repeated: frozenset[str] = _NONE

    @classmethod
    def from_environ(cls, environ: Mapping[str, Any], repeated: frozenset[str] = _NONE) -> Self:
        """Read a WSGI environ (PEP 3333).

        An environ joins a repeated header with ``,``, which a list in one header looks like too. So the worker counts
        them (``repeated_names``) before there is an environ, and the door passes on what it found.
        """
        headers = {_header_name(key): value for key, value in environ.items() if key.startswith("HTTP_")}
        return cls(environ["REMOTE_ADDR"], headers, repeated)


# Headers that mean one thing: where two came, one of them is somebody else's. RFC 9110, 5.3.
_SINGLE = frozenset(
    {
        "access-control-request-method",
        "authorization",
        "content-length",
        "content-type",
        "host",
        "idempotency-key",
        "origin",
        "sec-websocket-key",
        "sec-websocket-version",
        "traceparent",
        "x-request-id",
    }
)
_OWN = "x-openclaw-"


def check_single(repeated: frozenset[str]) -> None:
    """Raise InvalidRequest where a header came twice that may stand once. Lists may, and what each proxy adds."""
    for name in sorted(repeated):
        if name in _SINGLE or name.startswith(_OWN):
            raise InvalidRequest(f"the header {name} is given twice")


def repeated_names(headers: Iterable[tuple[str, str]]) -> frozenset[str]:
    """The lower-case names that come more than once in a raw list of ``(name, value)``."""
    names = [name.lower() for name, _ in headers]
    if len(set(names)) == len(names):
        return _NONE
    return frozenset(name for name in names if names.count(name) > 1)
