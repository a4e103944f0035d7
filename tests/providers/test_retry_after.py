"""A provider's Retry-After goes on as HTTP knows it, and in seconds for no longer than a day."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from email.utils import format_datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.providers.retry_after import retry_after, seconds_until

DATE = "Wed, 21 Oct 2015 07:28:00 GMT"


@pytest.mark.parametrize(
    ("value", "passed"),
    [
        ("7", "7"), ("007", "7"), (" 7 ", "7"), ("0", "0"), ("86400", "86400"), ("86401", "86400"),
        ("9" * 20, "86400"), (DATE, DATE), ("Wednesday, 21-Oct-15 07:28:00 GMT", DATE),
        ("Wed Oct 21 07:28:00 2015", DATE),
    ],
)  # fmt: skip
def test_seconds_and_dates_go_on(value: str, passed: str) -> None:
    """In one way of writing them, and never more than a day in seconds."""
    assert retry_after(value) == passed


@pytest.mark.parametrize(
    "value",
    [
        None, "", "soon", "-1", "1.5", "1e9", "7 seconds", "7, 8", "\u0667", "caf\xe9", "9" * 500, "sk-0123456789",
        "Wed, 99 Oct 2015 07:28:00 GMT", "Wed, 21 Oct 2015 07:28:00 +0000", f"{DATE}\r\nX: y", f"{DATE}, 7",
    ],
)  # fmt: skip
def test_anything_else_does_not(value: str | None) -> None:
    """It may be the key, another header, or what no client can read."""
    assert retry_after(value) is None
    assert seconds_until(value or "") is None


def test_a_date_is_seconds_for_those_who_count() -> None:
    """From now, none for one that is past, and a day at most."""
    assert seconds_until("Sun, 21 Oct 2085 07:28:00 GMT") == 86400
    assert seconds_until(DATE) == 0
    soon = datetime.now(UTC).replace(microsecond=0) + timedelta(hours=1)
    seconds = seconds_until(format_datetime(soon, usegmt=True))
    assert seconds is not None
    assert 0 < seconds <= 3600


@given(st.text())
def test_whatever_is_said(value: str) -> None:
    """What goes on is short and printable, and is read again as itself."""
    if (passed := retry_after(value)) is not None:
        assert passed.isascii()
        assert passed.isprintable()
        assert len(passed) < 40
        assert retry_after(passed) == passed
