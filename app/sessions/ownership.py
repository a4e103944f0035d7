"""Whose a session is, where callers are told apart: the one rule of every API.

Under ``trusted-proxy`` a caller sees, hears and writes to the sessions and runs whose key holds its identity. Others',
and those that are nobody's, are for ``operator.admin``. In every other mode there is one caller, and all are its own.
"""

from __future__ import annotations

from collections.abc import Collection
from typing import NamedTuple, Self

from sqlalchemy import ColumnElement, func, or_

from app.auth import ADMIN, Caller
from app.errors import Forbidden
from app.sessions import keys
from app.sessions.tables import sessions


class Reach(NamedTuple):
    """Which sessions a caller may see, hear and write to.

    identity: whose own its sessions are; None where callers are not told apart.
    owner:    what a key must hold, see ``keys.owner``; None for whoever reaches every session.
    """

    identity: str | None = None
    owner: str | None = None

    @classmethod
    def of(cls, caller: Caller, scopes: Collection[str]) -> Self:
        """scopes: those in force, which may be fewer than the caller's."""
        if caller.mode != "trusted-proxy" or caller.identity is None:
            return cls()
        return cls(caller.identity, None if ADMIN in scopes else keys.encoded(caller.identity))

    @property
    def is_limited(self) -> bool:
        return self.owner is not None

    def covers(self, key: str) -> bool:
        return self.owner is None or keys.owner(key) == self.owner

    def check(self, key: str) -> None:
        """Raise Forbidden for a session, or the session of a run, that is not the caller's."""
        if not self.covers(key):
            raise _forbidden()

    def check_unlimited(self) -> None:
        """Raise Forbidden unless the caller reaches every session."""
        if self.is_limited:
            raise _forbidden()


def owned_by(owner: str) -> ColumnElement[bool]:
    """Rows of ``sessions`` whose key holds this owner."""
    # Not LIKE, to which SQLite's letters have no case, and one identity might be another's with capitals.
    begin = func.length(sessions.c.agent_id) + len("agent::") + 1
    prefixes = [f"{kind}{owner}/" for kind in keys.OWNED]
    return or_(*(func.substr(sessions.c.key, begin, len(prefix)) == prefix for prefix in prefixes))


def _forbidden() -> Forbidden:
    details = {"code": "MISSING_SCOPE", "missingScope": ADMIN, "requiredScopes": [ADMIN]}
    return Forbidden(f"missing scope: {ADMIN}", details=details)
