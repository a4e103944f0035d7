"""What a method of the control plane is."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NamedTuple

from marshmallow import Schema

from app.sessions.ownership import Reach

if TYPE_CHECKING:
    from app.gateway_ws.connection import Connection
    from app.gateway_ws.plane import ControlPlane


class Call(NamedTuple):
    """One request on its way through its method.

    id:     of the request frame, for methods that answer twice.
    params: checked by the method's schema; what the caller left out, or set to null, is absent.
    """

    plane: ControlPlane
    connection: Connection
    id: str
    params: dict[str, Any]

    @property
    def reach(self) -> Reach:
        """Which sessions the caller may see, hear and write to."""
        return self.connection.reach


@dataclass(frozen=True, slots=True)
class Method:
    """One method, beside what it takes and who may call it.

    name:   as it stands in request frames, such as ``chat.send``.
    scope:  what the caller needs.
    params: the schema of its parameters, see ``app.gateway_ws.params``.
    work:   answers a call with the response's payload. Raises GatewayError, which becomes the error response.
    waits:  it may take long, so it works in a greenlet of its own and later requests of its connection overtake it.
            The others are answered in the order in which they came.
    """

    name: str
    scope: str
    params: Schema
    work: Callable[[Call], Any]
    waits: bool = False
