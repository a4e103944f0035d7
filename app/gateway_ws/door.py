"""Where connections come in: any path of the port, if the request asks for a WebSocket."""

from __future__ import annotations

import flask_sock
from flask import Blueprint, Flask, current_app
from flask_sock import Sock

from app.gateway_ws.connection import MAX_FIRST
from app.gateway_ws.methods import METHODS
from app.gateway_ws.plane import ControlPlane
from app.gateway_ws.transport import Socket
from app.http.entry import Entry, current
from app.services import Services

blueprint = Blueprint("gateway_ws", __name__)

# flask-sock has no other way to be given another server than simple-websocket's own.
flask_sock.Server = Socket
_sock = Sock()


def install(app: Flask, services: Services, entry: Entry) -> None:
    app.config["SOCK_SERVER_OPTIONS"] = {"max_message": MAX_FIRST, "max_buffered": 4 * MAX_FIRST}
    app.extensions["control_plane"] = ControlPlane(services, entry, METHODS)


@blueprint.before_request
def admit() -> None:
    _, known = current()
    _plane().admit(known.seen)


@_sock.route("/", bp=blueprint)  # type: ignore[untyped-decorator]
def connect(socket: Socket) -> None:
    _, known = current()
    _plane().serve(socket, known.seen)


def _plane() -> ControlPlane:
    plane: ControlPlane = current_app.extensions["control_plane"]
    return plane
