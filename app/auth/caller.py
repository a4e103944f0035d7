"""Who is calling, and what they may do."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from app.errors import Forbidden

READ = "operator.read"
WRITE = "operator.write"
ADMIN = "operator.admin"
APPROVALS = "operator.approvals"
PAIRING = "operator.pairing"

ALL_SCOPES = frozenset((READ, WRITE, ADMIN, APPROVALS, PAIRING))

_INCLUDES = {ADMIN: ALL_SCOPES, WRITE: frozenset((READ, WRITE))}


def granted(names: Iterable[str]) -> frozenset[str]:
    """The known scopes among ``names`` with all that they include; unknown names grant nothing."""
    scopes: set[str] = set()
    for name in ALL_SCOPES.intersection(names):
        scopes |= _INCLUDES.get(name, {name})
    return frozenset(scopes)


@dataclass(frozen=True, slots=True)
class Caller:
    """One authenticated caller.

    identity: ``"token"``, ``"password"``, the proxy's user, or ``None`` in mode ``none``.
    scopes:   what the caller may do, included scopes spelled out.
    address:  the client's IP address, seen through trusted proxies.
    local:    the client is on this machine and no proxy stands between.
    mode:     how the caller came in: ``token``, ``password``, ``trusted-proxy`` or ``none``.
    """

    identity: str | None
    scopes: frozenset[str]
    address: str
    local: bool
    mode: str

    @property
    def person(self) -> str | None:
        """The proxy's user; ``None`` for whoever has shown a secret, or nothing: that may be anybody."""
        return self.identity if self.mode == "trusted-proxy" else None

    def require(self, scope: str) -> None:
        """Raise ``Forbidden`` naming ``scope`` unless the caller has it."""
        if scope not in self.scopes:
            raise Forbidden(f"missing scope: {scope}")
