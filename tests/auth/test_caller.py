import pytest

from app.auth import ADMIN, ALL_SCOPES, READ, WRITE, Caller
from app.auth.caller import APPROVALS, PAIRING, granted
from app.errors import Forbidden


@pytest.mark.parametrize(
    ("asked", "scopes"),
    [
        ([ADMIN], ALL_SCOPES),
        ([WRITE], {WRITE, READ}),
        ([READ], {READ}),
        ([APPROVALS, PAIRING], {APPROVALS, PAIRING}),
        ([READ, "operator.root", "", "OPERATOR.ADMIN"], {READ}),
        ([], set()),
    ],
)
def test_scopes_include_lesser_ones(asked, scopes):
    """Admin includes all, write includes read, and an unknown name grants nothing."""
    assert granted(asked) == scopes


def test_missing_scope_is_named():
    """A caller without the scope is refused, and the message names it."""
    caller = Caller("ann", granted([READ]), "10.0.0.1", False, "trusted-proxy")
    caller.require(READ)
    with pytest.raises(Forbidden, match=r"missing scope: operator\.write"):
        caller.require(WRITE)
