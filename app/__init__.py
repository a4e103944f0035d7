"""A Gateway that serves AI agents over the OpenAI Chat Completions API."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from flask import Flask
    from werkzeug.routing import MapAdapter

    from app.services import Services


def create_app(services: Services | None = None) -> Flask:
    """The Flask application: services, and the blueprints with who may call them.

    services: the parts below the doors; without them they are built from the environment, for a gunicorn worker.
    """
    # Imported here: the command line and the local model's process need this package without a web framework.
    from flask import Flask, Request
    from flask.sessions import NullSession, SessionInterface

    from app.auth import READ, WRITE
    from app.config import Settings
    from app.gateway_ws import door
    from app.http.entry import Access, Entry
    from app.http.routes import Routes
    from app.openai_api import chat, models
    from app.ops import health, metrics
    from app.ops.server import build_services

    def chat_enabled(settings: Settings) -> bool:
        return settings.gateway.chat_completions.enabled

    doors = [
        (chat.blueprint, Access(WRITE, chat_enabled)),
        (models.blueprint, Access(READ, chat_enabled)),
        (health.blueprint, Access(None)),
        (metrics.blueprint, Access(READ)),
        # Who calls is said in the first frame.
        (door.blueprint, Access(None)),
    ]

    nothing = NullSession()

    class NoSessions(SessionInterface):
        """The API sets no cookies: nothing to make for each request and to look at after it."""

        def open_session(self, app: Flask, request: Request) -> NullSession:
            return nothing

    class Application(Flask):
        session_interface = NoSessions()
        url_map_class = Routes

        def ensure_sync(self, func: Callable[..., Any]) -> Callable[..., Any]:
            # Everything here is synchronous; asking each function for it, on every request, costs 8 µs.
            return func

        def create_url_adapter(self, request: Request | None) -> MapAdapter | None:
            # Flask reads the host first. All routes are those of every host, and the guard looks at it itself.
            return (
                super().create_url_adapter(None) if request is None else self.url_map.bind_to_environ(request.environ)
            )

    app = Application(__name__, static_folder=None)
    app.config["PROVIDE_AUTOMATIC_OPTIONS"] = False
    app.url_map.merge_slashes = False
    services = services or build_services()
    app.extensions["gateway"] = services
    entry = Entry(services.live, {blueprint.name: access for blueprint, access in doors})
    entry.install(app)
    door.install(app, services, entry)
    for blueprint, _ in doors:
        app.register_blueprint(blueprint)
    return app
