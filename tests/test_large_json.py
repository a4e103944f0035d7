"""Large JSON, read in steps."""

from __future__ import annotations

import json
import subprocess
import sys
from typing import Any

import gevent
import orjson
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from app import large_json
from app.large_json import STEP

LETTERS = st.sampled_from(
    ["\\", '"', "\n", "\\ud83d", "a", "é", "\U0001f600", "\ud83d", "\ude00", "]", "}", ",", "{", "[", ":", "u", "d83d"]
)
TEXTS = st.lists(LETTERS, max_size=6).map("".join)
# How often a text is repeated: some are longer than a step, and begin anywhere in one.
LONG = st.tuples(TEXTS, st.sampled_from([1, 1, 1, 7, 1000, STEP // 3])).map(lambda pair: pair[0] * pair[1])
VALUES = st.recursive(
    st.none() | st.integers(-5, 5) | st.floats(allow_nan=False, allow_infinity=False) | LONG,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(TEXTS, inner, max_size=4),
    max_leaves=12,
)


def expected(text: bytes) -> Any:
    return large_json.json_text.loads(text)


@settings(deadline=None, max_examples=60, suppress_health_check=list(HealthCheck))
@given(VALUES, st.booleans(), st.sampled_from([None, 2]), st.integers(0, 40))
def test_it_reads_what_is_read_at_once(value: Any, ascii: bool, indent: int | None, before: int) -> None:
    """Whatever is large in it, and wherever a step ends: the value is the same."""
    filler = ["x" * before, ["y"] * (STEP // 4)]
    document = {"filler": filler, "value": value, "again": [value, {"deep": [[value]]}], "value2": value}
    text = json.dumps(document, ensure_ascii=ascii, indent=indent).encode("utf-8", "replace")
    assert len(text) > STEP
    assert large_json.loads(text) == expected(text)


@pytest.mark.parametrize(
    "member", ['"\\\\"', '"\\n"', '"\\ud83d\\ude00"', '"\\u00e9"', '"é"', '"😀"', '"a\\\\u"', '"\\ud83d"']
)
@pytest.mark.parametrize("shift", range(13))
def test_a_string_is_cut_between_its_letters(member: str, shift: int) -> None:
    """A string of many steps is the same, however its escapes and letters lie."""
    unit = member[1:-1]
    text = ('{"a":"' + "." * shift + unit * (3 * STEP // len(unit.encode())) + '"}').encode()
    assert large_json.loads(text) == expected(text)


@settings(deadline=None, max_examples=60, suppress_health_check=list(HealthCheck))
@given(VALUES, st.sampled_from([1, 999, 1000, 1001, 2500]))
def test_it_is_written_as_at_once(value: Any, count: int) -> None:
    """The parts together are what orjson writes, with its names sorted."""
    document = [{"b": value, "a": [value] * 3, "é": [count] * count, "messages": [{"z": [1] * count, "a": 2}]}, None]
    clean = large_json.json_text.loads(json.dumps(document))
    assert b"".join(large_json.pieces(clean)) == orjson.dumps(clean, option=orjson.OPT_SORT_KEYS)


BIG = b'"' + b"z" * STEP + b'"'
MANY = b",".join([b'{"type":"text","text":"]}"}'] * 20_000)


@pytest.mark.parametrize(
    "text",
    [
        b"[" + MANY + b",]",
        b"[" + MANY,
        b"[" + MANY + b"}",
        b"[" + MANY + b"] x",
        b"[" + MANY + b' {"a":1}]',
        b"[" + MANY + b",NaN]",
        b"[" + MANY + b',{"a":[1,2,}]',
        b'{"a":[' + MANY + b'],"b":}',
        b'{"a":[' + MANY + b'],"b" 1}',
        b'{"a":[' + MANY + b"],7:1}",
        b'{"a":[' + MANY + b"],}",
        b'{"a":[' + MANY + b"]]",
        b'{"a":' + BIG + b",,}",
        b'{"a":' + BIG + b'"b":1}',
        b"{" + BIG + b" 1}",
        b"{" + BIG,
        b"[" + BIG[:-1],
        b"[" + BIG + b",1e999]",
        b"[" + BIG[:-1] + b'\n"]',
        b'["\n",' + MANY + b"]",
        b"[" + b"1" * (2 * STEP) + b"]",
        b"[\n" + MANY + b",\n" + "é".encode() + b"]",
    ],
)
def test_it_says_what_is_said_of_small_ones(text: bytes) -> None:
    """What is wrong with it is told with its place in the whole text."""
    with pytest.raises(orjson.JSONDecodeError) as told:
        large_json.loads(text)
    with pytest.raises(orjson.JSONDecodeError) as wanted:
        orjson.loads(text)
    assert abs(told.value.pos - wanted.value.pos) <= 1, (told.value, wanted.value)
    assert f"line {wanted.value.lineno} column" in str(told.value)


@pytest.mark.parametrize("levels", [1025, 2000, 2 * STEP])
def test_it_is_as_deep_as_a_small_one_may_be(levels: int) -> None:
    """More than 1024 levels are no JSON, wherever the deep part stands."""
    for text in (b"[" * levels, b"[" + BIG + b"," + b"[" * levels + b"]" * levels + b"]"):
        with pytest.raises(orjson.JSONDecodeError):
            large_json.loads(text + b" " * STEP)


def test_no_room_for_it_is_no_fault_of_the_text() -> None:
    """Where the process may have no more memory, that is what is said."""
    program = (
        "import resource, sys\n"
        "from app import large_json\n"
        "text = b'[' + b'{},' * 9_000_000 + b'{}]'\n"
        "used = int(open('/proc/self/statm').read().split()[0]) * resource.getpagesize()\n"
        "resource.setrlimit(resource.RLIMIT_AS, (used + 10_000_000,) * 2)\n"
        "try:\n    large_json.loads(text)\nexcept MemoryError:\n    sys.exit(3)\n"
    )
    assert subprocess.run([sys.executable, "-c", program], check=False).returncode == 3


@pytest.mark.parametrize("inner", [b"[", b"[1,[],", b'{"a":', b'{"b":1,"c":[],"a":'])
def test_deep_ones_are_looked_at_once(inner: bytes) -> None:
    """A thousand levels around what is large are read as well as a few."""
    levels = 1000
    close = b"}" if inner[:1] == b"{" else b"]"
    text = inner * levels + b"[" + MANY + b"]" + close * levels
    found, wanted = large_json.loads(text), expected(text)
    for _ in range(levels):
        found, wanted = (found["a"], wanted["a"]) if close == b"}" else (found[-1], wanted[-1])
    assert found == wanted


def test_the_last_of_two_equal_names_counts() -> None:
    """As in a small object, whether the values are large or not."""
    text = b'{"a":1,"b":' + BIG + b',"a":2,"b":3,"c":[' + MANY + b'],"b":4}'
    assert large_json.loads(text) == expected(text)
    assert list(large_json.loads(text)) == list(expected(text))


@pytest.mark.parametrize(
    "text",
    [
        b"[" + b",".join([MANY] * 10) + b"]",
        b'{"a":[{"b":[' + b",".join([MANY] * 10) + b"]}]}",
        b'["' + b"z" * (20 * STEP) + b'"]',
        b"[" + b",".join([b"1"] * (4 * STEP)) + b"]",
        b"[" + b",".join([b'"]"'] * (2 * STEP)) + b"]",
    ],
    ids=["members", "deep", "string", "numbers", "strings"],
)
def test_others_have_their_turn(text: bytes) -> None:
    """While it is read, who waits for a moment has a turn at about each step, and so who waits for input."""
    turns = 0

    def work() -> None:
        nonlocal turns
        while True:
            turns += 1
            gevent.sleep(1e-6)

    worker = gevent.spawn(work)
    try:
        large_json.loads(text)
    finally:
        worker.kill()
    assert turns >= len(text) // STEP
