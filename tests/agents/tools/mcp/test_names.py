from __future__ import annotations

import re

from hypothesis import given
from hypothesis import strategies as st

from app.agents.tools.mcp.names import tool_names


def test_names_stay_readable_where_they_can() -> None:
    """Only what models may not write is replaced, only what is too long is cut."""
    tools = [("files", "read_file"), ("my.server", "a/b"), ("s" * 64, "t" * 64)]
    plain, replaced, long = tool_names(tools)
    assert plain == "files__read_file"
    assert replaced == "my_server__a_b"
    assert re.fullmatch(r"s{24}__t{29}_[0-9a-f]{8}", long)


@given(st.lists(st.tuples(st.text("ab._", min_size=1, max_size=70), st.text(min_size=1, max_size=70)), unique=True))
def test_every_name_is_allowed_and_no_two_are_the_same(tools: list[tuple[str, str]]) -> None:
    """Whatever servers call their tools, models can call each of them."""
    names = list(tool_names(tools))
    assert len(set(names)) == len(tools)
    assert all(re.fullmatch(r"[A-Za-z0-9_-]{1,64}", name) for name in names)
    assert names == list(tool_names(tools))
