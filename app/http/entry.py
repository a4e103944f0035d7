"""The way in: what happens to every HTTP request before its view and after it.

The order is part of the contract: host and origin, then whether there is such an endpoint, its method, then who is
calling, and only then the body.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any

import flask
from flask import Flask, Response, g, request
from flask.globals import request_ctx
from werkzeug.exceptions import MethodNotAllowed
from werkzeug.routing import RequestRedirect

from app.auth import AttemptLimiter, Authenticator, Caller, Guard, Request, check_single
from app.config import LiveSettings, Settings
from app.errors import GatewayError, NotFound
from app.http import envelope, routes
from app.ids import new_uuid

_REQUEST_ID = re.compile(r"[\x21-\x7e]{1,128}")
_NOTHING_REPEATED: frozenset[str] = frozenset()


@dataclass(frozen=True, slots=True)
class Access:
    """Who may call a blueprint's routes.

    scope:   what the caller needs; None for routes that are open to all.
    enabled: whether the endpoint is there at all under these settings.
    """

    scope: str | None
    enabled: Callable[[Settings], bool] = lambda settings: True


def current() -> tuple[flask.Request, Any]:
    """The request and Flask's ``g`` themselves: their proxies look them up anew at every attribute."""
    return request._get_current_object(), g._get_current_object()  # type: ignore[attr-defined]


class Entry:
    """Installs itself into an application. guard, authenticator: those of the settings in force.

    accesses: by blueprint name; a route outside of them is never served.
    """

    def __init__(self, live: LiveSettings, accesses: Mapping[str, Access]) -> None:
        self._live = live
        self._accesses = accesses
        self._limiter = AttemptLimiter()
        self.guard: Guard
        self.authenticator: Authenticator
        self._apply(live.current)
        live.subscribe(self._apply)

    def install(self, app: Flask) -> None:
        app.before_request(self._before)
        app.after_request(self._after)
        envelope.install(app)

    def _apply(self, settings: Settings) -> None:
        self.guard = Guard(settings)
        self.authenticator = Authenticator(settings, self._limiter)

    def _before(self) -> Response | None:
        asked, known = current()
        environ = asked.environ
        given = environ.get("HTTP_X_REQUEST_ID")
        known.request_id = given if given and _REQUEST_ID.fullmatch(given) else new_uuid()
        # What every answer to this request carries, an error too.
        known.headers = {"x-request-id": known.request_id}
        repeated = getattr(environ.get("wsgi.input"), "repeated_headers", _NOTHING_REPEATED)
        seen = Request.from_environ(environ, repeated)
        known.seen = seen
        if repeated:
            check_single(repeated)
        self.guard.check_host(seen)
        if not routes.is_upgrade(environ):  # a WebSocket is told after its first frame, where its page can read it
            self.guard.check_origin(seen)
        known.headers.update(self.guard.cors_headers(seen))
        access = self._access(asked)
        if asked.method == "OPTIONS" and (preflight := self.guard.preflight_headers(seen)):
            known.headers.update(preflight)
            return Response(status=204)
        if asked.routing_exception is not None:
            raise asked.routing_exception
        known.identify = partial(self._identify, seen)
        if access.scope is not None:
            known.caller = self.authenticator.authenticate(seen)
            stranger = getattr(environ.get("wsgi.input"), "connection", None)
            if stranger is not None:
                stranger.admitted()
            known.caller.require(access.scope)
        return None

    def _identify(self, seen: Request) -> Caller | None:
        """Who calls a route that is open to all, if they say so."""
        try:
            return self.authenticator.authenticate(seen)
        except GatewayError:
            return None

    def _access(self, asked: flask.Request) -> Access:
        """The access of the asked route. Raises NotFound where nothing is served, whatever the method."""
        blueprint = asked.blueprint
        refusal = asked.routing_exception
        if isinstance(refusal, MethodNotAllowed) and refusal.valid_methods:
            # The route is there under another method: whether it is switched on decides between 404 and 405.
            assert request_ctx.url_adapter is not None
            endpoint, _ = request_ctx.url_adapter.match(method=next(iter(refusal.valid_methods)))
            blueprint = endpoint.rpartition(".")[0]
        elif refusal is not None and not isinstance(refusal, RequestRedirect):
            raise NotFound(f"no such endpoint: {asked.path[:200]}")
        access = self._accesses.get(blueprint or "")
        if access is None or not access.enabled(self._live.current):
            raise NotFound(f"no such endpoint: {asked.path[:200]}")
        return access

    def _after(self, response: Response) -> Response:
        add = response.headers.add
        for name, value in g.headers.items():
            add(name, value)
        return response
