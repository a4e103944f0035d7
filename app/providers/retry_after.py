"""When a provider may be asked again, as far as what it says is what HTTP knows."""

from __future__ import annotations

import re
from datetime import UTC, datetime
from email.utils import format_datetime, parsedate_to_datetime
from math import ceil

# Seconds. However many the provider says, nobody is asked to wait longer.
MOST = 86_400

_SECONDS = re.compile(r"[0-9]{1,20}")
# The three forms of RFC 9110 section 5.6.7.
_DATE = re.compile(
    r"[A-Z][a-z]{2}, \d{2} [A-Z][a-z]{2} \d{4} \d{2}:\d{2}:\d{2} GMT"
    r"|[A-Z][a-z]{5,8}, \d{2}-[A-Z][a-z]{2}-\d{2} \d{2}:\d{2}:\d{2} GMT"
    r"|[A-Z][a-z]{2} [A-Z][a-z]{2} [ \d]\d \d{2}:\d{2}:\d{2} \d{4}",
    re.ASCII,
)


def retry_after(value: str | None) -> str | None:
    """A provider's ``Retry-After`` as it may go on: seconds, ``MOST`` at most, or a date; None for anything else."""
    value = (value or "").strip()
    if _SECONDS.fullmatch(value):
        return str(min(int(value), MOST))
    if not _DATE.fullmatch(value):
        return None
    try:
        return format_datetime(parsedate_to_datetime(value).replace(tzinfo=UTC), usegmt=True)
    except ValueError:
        return None


def seconds_until(value: str) -> int | None:
    """The same in whole seconds from now, ``MOST`` at most."""
    when = retry_after(value)
    if when is None:
        return None
    if when.isdecimal():
        return int(when)
    left = parsedate_to_datetime(when) - datetime.now(UTC)
    return min(max(0, ceil(left.total_seconds())), MOST)
