"""JSON as others write it."""

from __future__ import annotations

import json
from typing import Any

import orjson
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from app.json_text import loads

# Surrogates as often as anything else, alone and in pairs, and what could be taken for one.
LETTERS = st.sampled_from(["\ud83d", "\ude00", "\ud83d\ude00", "\\", "\\ud83d", '"', "u", "\n", "é", "a"])
TEXTS = st.lists(LETTERS | st.characters(), max_size=8).map("".join)
VALUES = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**53), 2**53) | TEXTS,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(TEXTS, inner, max_size=3),
    max_leaves=8,
)


def whole(value: Any) -> Any:
    """The value with U+FFFD for each half of a pair."""
    if isinstance(value, str):
        return value.encode("utf-16-le", "surrogatepass").decode("utf-16-le", "replace")
    if isinstance(value, list):
        return [whole(each) for each in value]
    if isinstance(value, dict):
        return {whole(key): whole(each) for key, each in value.items()}
    return value


@settings(deadline=None)
@given(VALUES)
def test_halves_of_pairs_anywhere(value: Any) -> None:
    """Wherever a surrogate stands alone, in keys too, it alone is lost, and what is read can be written again."""
    escaped = json.dumps(value)
    read = loads(escaped)
    assert read == loads(escaped.encode()) == whole(value)
    orjson.dumps(read)
    # As text that was itself read leniently.
    assert loads(json.dumps(value, ensure_ascii=False)) == whole(value)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "{",
        '{"a":"\\ud83d"',
        '["\\ud83d", NaN]',
        '["\\ud83d", -Infinity]',
        '["\\ud83",1]',
        '"\\ud83d\x01"',
        "[" * 2000 + '"\\ud83d"' + "]" * 2000,
        "\ud83d",
    ],
)
def test_what_is_no_json(text: str) -> None:
    """Half a pair makes nothing else right."""
    for given_text in (text, text.encode("utf-8", "replace")):
        with pytest.raises(ValueError, match="line 1"):
            loads(given_text)


def test_bytes_that_are_no_utf8() -> None:
    """They are not guessed at, even where there is half a pair besides."""
    with pytest.raises(ValueError, match="UTF-8"):
        loads(b'["\\ud83d", "\xff"]')


def test_names_that_come_twice() -> None:
    """The last one counts, as it does without half a pair."""
    assert loads('{"a":1,"a":"\\ud83d"}') == {"a": "\ufffd"}
