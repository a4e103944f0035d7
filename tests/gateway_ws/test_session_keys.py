"""Which session a parameter means."""

from __future__ import annotations

import pytest

from app.errors import InvalidRequest
from app.gateway_ws.session_keys import resolve
from app.sessions.ownership import Reach
from tests.agents.scene import BETA, MAIN, settings

SETTINGS = settings(MAIN, BETA)


@pytest.mark.parametrize(
    ("key", "agent_id", "full"),
    [
        ("main", None, "agent:main:main"),
        ("mine", "Beta", "agent:beta:mine"),
        ("agent:beta:mine", None, "agent:beta:mine"),
    ],
    ids=["main", "of-an-agent", "full"],
)
def test_a_key_is_completed(key: str, agent_id: str | None, full: str) -> None:
    """Under the agent that it names, that is named beside it, or the default one."""
    agent, found = resolve(SETTINGS, Reach(), key, agent_id)
    assert (found, found.startswith(f"agent:{agent.id}:")) == (full, True)


@pytest.mark.parametrize(
    ("key", "agent_id", "told"),
    [
        ("a\nb", None, "key: must not hold control characters"),
        ("x" * 600, None, "key: makes a session key of 611 characters; 512 are allowed"),
        ("agent:main:x", "beta", "key: belongs to agent 'main', not to 'beta'"),
        ("agent:ghost:x", None, "agentId: unknown agent 'ghost'; agents are main, beta"),
        ("cron:x", None, "key: session keys that begin with 'cron:' are reserved for the gateway's own sessions"),
    ],
    ids=["control", "long", "another-agent", "unknown-agent", "reserved"],
)
def test_a_fault_names_the_parameter_once(key: str, agent_id: str | None, told: str) -> None:
    """As the method calls it, not as HTTP does."""
    with pytest.raises(InvalidRequest) as refusal:
        resolve(SETTINGS, Reach(), key, agent_id, param="key", writable=True)
    assert refusal.value.message == told
    assert refusal.value.param == told.partition(":")[0]


def test_what_is_reserved_can_be_read() -> None:
    """The gateway's own sessions are closed to writers only."""
    assert resolve(SETTINGS, Reach(), "cron:x")[1] == "agent:main:cron:x"
