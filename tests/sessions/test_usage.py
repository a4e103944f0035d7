"""What sessions used, by session, model and day."""

from __future__ import annotations

from datetime import UTC, date, datetime
from typing import Any

import pytest

from app.providers.stream import Usage
from app.sessions import usage
from app.sessions.store import FAILED, SessionStore
from app.sessions.usage import Sum, UsageSums
from tests.sessions.scene import turn

MONDAY, TUESDAY = date(2026, 3, 2), date(2026, 3, 3)
FOREVER = 4e9


def at(day: date, hour: float) -> float:
    return datetime(day.year, day.month, day.day, tzinfo=UTC).timestamp() + hour * 3600


def of_sessions(sums: UsageSums) -> dict[str, dict[str, Sum]]:
    return {session.key: by_model for session, by_model in sums.of_sessions.items()}


def record(store: SessionStore, when: float, tokens: int, **fields: Any) -> None:
    store.record(turn(at=when, usage=Usage(tokens, 1, 0), **fields))


@pytest.fixture
def used(store: SessionStore) -> SessionStore:
    record(store, at(MONDAY, 1), 10, key="a")
    record(store, at(MONDAY, 23.99), 20, key="a", model="p/big")
    record(store, at(TUESDAY, 0), 40, key="a")
    record(store, at(TUESDAY, 2), 80, key="b", agent_id="beta", status=FAILED, error="no")
    return store


def test_usage_is_summed_by_session_day_and_model(used: SessionStore) -> None:
    """Every turn counts once for its session and once for its UTC day."""
    sums = used.usage(0, FOREVER)
    assert of_sessions(sums) == {
        "a": {"p/m": Sum(2, 0, 50, 2, 0), "p/big": Sum(1, 0, 20, 1, 0)},
        "b": {"p/m": Sum(1, 1, 80, 1, 0)},
    }
    assert sums.of_days == {
        MONDAY: {"p/m": Sum(1, 0, 10, 1, 0), "p/big": Sum(1, 0, 20, 1, 0)},
        TUESDAY: {"p/m": Sum(2, 1, 120, 2, 0)},
    }


@pytest.mark.parametrize("turns_at_once", [1, 2, 3])
def test_reading_in_parts_changes_nothing(
    used: SessionStore, monkeypatch: pytest.MonkeyPatch, turns_at_once: int
) -> None:
    """However many turns are read at a time, the sums are the same."""
    whole = used.usage(0, FOREVER)
    monkeypatch.setattr(usage, "AT_ONCE", turns_at_once)
    assert used.usage(0, FOREVER) == whole


def test_usage_is_bounded_in_time(used: SessionStore) -> None:
    """The first moment is in, the last one is out."""
    assert list(used.usage(at(MONDAY, 1), at(TUESDAY, 0)).of_days) == [MONDAY]
    assert list(used.usage(at(TUESDAY, 0), FOREVER).of_days) == [TUESDAY]
    assert used.usage(at(TUESDAY, 3), FOREVER) == UsageSums({}, {})


def test_usage_of_one_session_and_of_one_agent(used: SessionStore) -> None:
    """Days count only what is asked for."""
    for sums in (used.usage(0, FOREVER, key="b"), used.usage(0, FOREVER, agent_id="beta")):
        assert list(of_sessions(sums)) == ["b"]
        assert sums.of_days == {TUESDAY: {"p/m": Sum(1, 1, 80, 1, 0)}}
    assert used.usage(0, FOREVER, key="nobody") == used.usage(0, FOREVER, agent_id="nobody") == UsageSums({}, {})


def test_what_a_session_used_before_it_began_anew_counts(used: SessionStore) -> None:
    """A reset saves no money. What no model said is on nobody's account."""
    used.reset("a", "main")
    used.inject("a", "main", "note", 0.0)
    by_model = of_sessions(used.usage(0, FOREVER))["a"]
    assert by_model["p/m"] == Sum(2, 0, 50, 2, 0)
    assert by_model[""] == Sum(1, 0, 0, 0, 0)


def test_nothing_used_is_nothing(store: SessionStore) -> None:
    """A new database has no sums."""
    assert store.usage(0, FOREVER) == UsageSums({}, {})
