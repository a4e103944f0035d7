"""Tool calls put together from fragments that were sent to keep the gateway busy."""

from __future__ import annotations

import gevent
import pytest

from app.providers.tool_calls import MAX_SIZE, OVERHEAD, ToolCalls


@pytest.mark.parametrize(
    ("first", "further", "name"),
    [('{"', "{" + "a" * 200, ""), ('{"a":"', "x" * 200 + "}", ""), ('{"a":"', "x" * 200 + "}", "f")],
    ids=["beginnings", "ends", "ends with a name"],
)
def test_arguments_that_never_end_are_not_read_again_and_again(first: str, further: str, name: str) -> None:
    """As many fragments as may come, each of which might be a call's end or beginning, are told in seconds at most."""
    calls = ToolCalls("scripted")
    with gevent.Timeout(60):
        calls.add(0, "id", "f", first)
        for number in range(MAX_SIZE // (len(further) + OVERHEAD + 10)):
            calls.add(0, "", name, further)
            if number % 1000 == 0:
                gevent.sleep(0)
        told = list(calls.told(said=True))
    assert "".join(delta.arguments for delta in told).startswith(first + further)
