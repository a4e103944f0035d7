"""Usage and finish reasons."""

from __future__ import annotations

from tests.wire.case import USAGE, Case, chunk, data, stream

CASES = {
    "usage within the choice": Case(
        answers=[stream(data(chunk({"content": "Hello"}), chunk({}, "stop", usage=USAGE)))],
        text="Hello",
        usage=(11, 5),
    ),
}
