"""``logs.tail``: what the gateway logged lately."""

from __future__ import annotations

from typing import Any

from app.auth import READ
from app.gateway_ws.method import Call, Method
from app.gateway_ws.params import params, whole
from app.ops import logs

# Lines and bytes where the caller doesn't say.
LIMIT = 500
BYTES = 250_000
# Those that the published contract allows to ask for, however many are kept.
MOST_LINES, MOST_BYTES = 5000, 1_000_000
# Integers that every JSON reader knows exactly.
MAX_CURSOR = 2**53 - 1


def _tail(call: Call) -> dict[str, Any]:
    asked = call.params
    # Its lines tell of everybody's sessions.
    call.reach.check_unlimited()
    return logs.tail.read(asked.get("cursor"), asked.get("limit", LIMIT), asked.get("maxBytes", BYTES))


METHODS = (
    Method(
        "logs.tail",
        READ,
        params(cursor=whole(0, MAX_CURSOR), limit=whole(1, MOST_LINES), maxBytes=whole(1, MOST_BYTES)),
        _tail,
    ),
)
