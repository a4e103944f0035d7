"""Routes of HTTP requests, and apart from them those of WebSockets."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from werkzeug.routing import Map, MapAdapter, Rule, RuleFactory


def is_upgrade(environ: Mapping[str, Any]) -> bool:
    """Whether a request asks for a WebSocket (RFC 6455, 4.2.1)."""
    if environ.get("HTTP_UPGRADE", "").lower() != "websocket":
        return False
    return "upgrade" in (token.strip() for token in environ.get("HTTP_CONNECTION", "").lower().split(","))


class Routes(Map):
    """Every path upgrades, to the one route that is registered with ``websocket=True``.

    As a rule among the others it would answer ``POST /unknown`` with 405 and ``GET /unknown`` with 400.
    """

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        self._upgrades = Map()
        super().__init__(*args, **kwargs)

    def add(self, rulefactory: RuleFactory) -> None:
        if isinstance(rulefactory, Rule) and rulefactory.websocket:
            rulefactory.methods = {"GET"}
            self._upgrades.add(rulefactory)
        else:
            super().add(rulefactory)

    def bind_to_environ(self, environ: Any, *args: Any, **kwargs: Any) -> MapAdapter:
        given = getattr(environ, "environ", environ)
        if is_upgrade(given):
            return self._upgrades.bind_to_environ({**given, "PATH_INFO": "/"}, *args, **kwargs)
        # As the base class does it, but without the host: its names are read by Flask already, and all routes are those
        # of every host. That took a tenth of what a request costs before its view.
        return MapAdapter(
            self,
            given.get("HTTP_HOST", ""),
            _text(given.get("SCRIPT_NAME", "")),
            "",
            given["wsgi.url_scheme"],
            _text(given.get("PATH_INFO", "")),
            given["REQUEST_METHOD"],
            _text(given.get("QUERY_STRING", "")),
        )


def _text(value: str) -> str:
    """WSGI hands bytes over as Latin-1 (PEP 3333)."""
    return value.encode("latin-1").decode("utf-8", "replace")
