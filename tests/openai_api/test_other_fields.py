"""Fields that the gateway has no use for: who is sent them, and how a caller learns that nobody was."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import orjson
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from werkzeug.datastructures import Headers

from app.errors import InvalidRequest
from app.openai_api.other_fields import (
    HEADER,
    MAX_DEPTH,
    MAX_HEADER,
    MAX_SIZE,
    MOST,
    header_of,
    ignored_by,
    others_of,
    passable,
)
from app.providers import request_fields
from tests.openai_api.test_messages import JSON

USUAL = request_fields.taken("openai-completions", openai=False)
OPENAI = request_fields.taken("openai-completions", openai=True)
NOBODY: frozenset[str] = frozenset()


def nested(levels: int) -> Any:
    value: Any = 1
    for _ in range(levels):
        value = [value]
    return value


def run(sampling: Any, taken: frozenset[str] = USUAL, *, tools: Any = (), own: Any = ()) -> Any:
    turn = SimpleNamespace(sampling=sampling, tools=tools)
    catalogue = SimpleNamespace(taken=lambda reference: taken if reference == "p/m" else NOBODY)
    return SimpleNamespace(
        id="run-1", turn=turn, model="p/m", runs=SimpleNamespace(catalogue=catalogue), offer=SimpleNamespace(wire=own)
    )


def test_what_a_schema_knows_is_none_of_them() -> None:
    """Nor is null, which says nothing."""
    assert others_of({"messages": [], "seed": 1, "top_k": None, "min_p": 0}) == {"min_p": 0}
    assert others_of({"messages": [], "store": None}) == {}


def test_nobody_sends_so_many() -> None:
    """What is beyond the bound costs no more than its bytes."""
    assert len(others_of({f"f{number}": 1 for number in range(MOST + 5)})) == MOST


def test_what_is_passed_on() -> None:
    """All that an operator may list, known here or not; never what is the gateway's own."""
    fields = {"top_k": 5, "of_tomorrow": {"a": [1]}, "store": True, "best_of": 2, "chat_template": "{{}}", "models": []}
    assert passable(fields, lambda: NOBODY) == {"top_k": 5, "of_tomorrow": {"a": [1]}}


@pytest.mark.parametrize("fits", ["x" * (MAX_SIZE - 2), nested(MAX_DEPTH), {"a": nested(MAX_DEPTH - 1)}])
def test_the_bounds_belong_to_what_is_passed_on(fits: Any) -> None:
    """In size and in depth."""
    assert passable({"top_k": fits}, lambda: USUAL) == {"top_k": fits}


@pytest.mark.parametrize(
    "large", ["x" * (MAX_SIZE - 1), nested(MAX_DEPTH + 1), nested(900), {"a": nested(MAX_DEPTH)}, ["é" * MAX_SIZE]]
)
def test_what_is_too_large(large: Any) -> None:
    """A field that the model would be sent is refused by its name; one that it would not be sent is ignored."""
    with pytest.raises(InvalidRequest) as refused:
        passable({"top_k": large}, lambda: USUAL)
    assert refused.value.param == "top_k"
    assert refused.value.message.startswith("top_k: ")
    assert passable({"top_k": large}, lambda: OPENAI) == {}


@pytest.mark.parametrize(
    ("sampling", "others", "taken", "ignored"),
    [
        ({}, set(), USUAL, []),
        ({"temperature": 1, "max_tokens": 5}, set(), NOBODY, []),
        ({"top_k": 5}, {"top_k"}, USUAL, []),
        ({"top_k": 5}, {"top_k"}, OPENAI, ["top_k"]),
        ({"verbosity": "low", "seed": 1}, set(), USUAL, ["verbosity"]),
        ({"verbosity": "low", "seed": 1}, set(), OPENAI, []),
        ({"seed": 1}, {"store", "foo"}, USUAL, ["foo", "store"]),
        # Too large, so that nobody was sent it.
        ({}, {"top_k"}, USUAL, ["top_k"]),
    ],
)
def test_what_is_ignored(sampling: Any, others: Any, taken: frozenset[str], ignored: list[str]) -> None:
    """What the request asked for and the model that answers was not sent, in the order of names."""
    assert ignored_by(run(sampling, taken), others) == ignored


@pytest.mark.parametrize(("tools", "own", "ignored"), [((), (), 0), ((1,), (), 1), ((), (1,), 1)])
def test_a_prediction_beside_tools(tools: Any, own: Any, ignored: int) -> None:
    """OpenAI refuses the two together, so it is not sent."""
    asked = run({"prediction": {}}, OPENAI, tools=tools, own=own)
    assert ignored_by(asked, set()) == ["prediction"] * ignored


def test_the_header_has_names_alone() -> None:
    """Separated by commas; there is none where nothing was ignored."""
    assert header_of(run({}), []) == {}
    assert header_of(run({}), ["foo", "store"]) == {HEADER: "foo,store"}
    assert header_of(run({}), ["", "a,b\r\nx: y", "ü", "x" * 65]) == {HEADER: "a%2Cb%0D%0Ax%3A%20y,%C3%BC"}


@settings(deadline=None)
@given(st.lists(st.text(st.characters(exclude_categories=["Cs"]), max_size=80)))
def test_any_names_make_a_header(names: list[str]) -> None:
    """The caller chooses them: none can break the response, or make it long."""
    for value in header_of(run({}), names).values():
        assert value.isascii()
        assert value.isprintable()
        assert 0 < len(value.encode()) <= MAX_HEADER
        Headers([(HEADER, value)])


@settings(deadline=None)
@given(st.dictionaries(st.text(max_size=5) | st.sampled_from(sorted(USUAL)), JSON, max_size=5))
def test_any_fields_are_passed_or_ignored(body: Any) -> None:
    """Each that is not null is one or the other."""
    try:
        orjson.dumps(body)
    except TypeError:
        assume(False)  # no body holds such a number
    others = others_of(body)
    passed = passable(others, lambda: USUAL)
    ignored = ignored_by(run(passed), others.keys())
    assert set(others) == {name for name in passed if name in USUAL} | set(ignored)
