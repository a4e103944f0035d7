"""Fields of a request: what passes, and what the caller is told otherwise."""

from __future__ import annotations

from typing import Any

import orjson
import pytest
from marshmallow import ValidationError, fields

from app.http.fields import Choice, Flag, Number, Object, Refused, Stop, Text


def load(field: fields.Field[Any], value: Any) -> Any:
    return field.deserialize(value)


def refusal(field: fields.Field[Any], value: Any) -> str:
    with pytest.raises(ValidationError) as refused:
        field.deserialize(value)
    (message,) = refused.value.messages
    return str(message)


@pytest.mark.parametrize("field", [Number(0, 2), Flag(), Choice("a"), Text(5), Object(), Stop(), Refused("no")])
def test_null_is_the_same_as_absent(field: fields.Field[Any]) -> None:
    """Every optional field takes null."""
    assert load(field, None) is None


@pytest.mark.parametrize("value", [0, 2, 0.0, 2.0, 1, 1.5])
def test_a_number_within_its_bounds(value: float) -> None:
    """Both ends belong to the range, and the value stays as it was sent."""
    assert load(Number(0, 2), value) == value
    assert type(load(Number(0, 2), value)) is type(value)


@pytest.mark.parametrize("value", [-0.0001, 2.0001, -1, 3, 1e308])
def test_a_number_out_of_its_bounds(value: float) -> None:
    """The message says the range."""
    assert refusal(Number(0, 2), value) == "must be from 0 to 2"
    assert refusal(Number(-2, 2), 5) == "must be from -2 to 2"


def test_a_number_with_a_lower_bound_alone() -> None:
    """There is no upper end to name."""
    assert load(Number(1, whole=True), 10**12) == 10**12
    assert refusal(Number(1, whole=True), 0) == "must be 1 or more"


def test_bounds_are_said_in_full() -> None:
    """However large they are."""
    assert refusal(Number(0, 2**53, whole=True), -1) == "must be from 0 to 9007199254740992"
    assert refusal(Number(0.5, 1.5), 2) == "must be from 0.5 to 1.5"


@pytest.mark.parametrize("value", ["0.5", True, False, [], {}, [1]])
def test_what_is_no_number(value: Any) -> None:
    """A text that reads as a number, or ``true``, is a caller's mistake that is told."""
    assert refusal(Number(0, 2), value) == "must be a number"
    assert refusal(Number(whole=True), value) == "must be an integer"


def test_a_whole_number_has_no_fraction() -> None:
    """``1.0`` is no integer in JSON's terms; negative and large ones are."""
    assert refusal(Number(whole=True), 1.0) == "must be an integer"
    assert load(Number(whole=True), -(2**53)) == -(2**53)


@pytest.mark.parametrize("value", [0, 1, "true", "false", "", [], {}])
def test_a_flag_is_true_or_false(value: Any) -> None:
    """Nothing else means it."""
    assert load(Flag(), True) is True
    assert load(Flag(), False) is False
    assert refusal(Flag(), value) == "must be true or false"


@pytest.mark.parametrize("value", [1, True, [], {}, ["a"]])
def test_a_text_is_a_string(value: Any) -> None:
    """Text is taken as it stands."""
    assert load(Text(), " a\x00 ") == " a\x00 "
    assert refusal(Text(), value) == "must be a string"


@pytest.mark.parametrize("value", [1, True, [], "a", ["a"]])
def test_an_object_is_an_object(value: Any) -> None:
    """Objects are taken as they stand."""
    assert load(Object(), {"a": [1]}) == {"a": [1]}
    assert refusal(Object(), value) == "must be an object"


def deep(levels: int) -> Any:
    return orjson.loads('{"a":' * levels + "1" + "}" * levels)


def test_an_object_that_can_be_sent_on() -> None:
    """What is taken can be written as a member of the provider's request."""
    assert orjson.dumps({"response_format": load(Object(), deep(200))})


@pytest.mark.parametrize("levels", [260, 1000])
def test_an_object_that_could_not_be_sent_on(levels: int) -> None:
    """What can be read but not written again is refused here, and not a fault later."""
    assert refusal(Object(), deep(levels)) == "is nested too deeply"


@pytest.mark.parametrize(
    ("value", "stops"),
    [("a", ["a"]), (["a"], ["a"]), (["a", "b", "c", "d"], ["a", "b", "c", "d"]), ("", []), ([], []), (" ", [" "])],
)
def test_stops(value: Any, stops: list[str]) -> None:
    """One string or up to four; an empty one is none."""
    assert load(Stop(), value) == stops


@pytest.mark.parametrize("value", [[""], ["a", ""], ["a", 1], [None], 1, {}, True, [["a"]]])
def test_what_is_no_stop(value: Any) -> None:
    """Empty strings in a list and other types are refused."""
    assert refusal(Stop(), value) == "must be a string or a list of non-empty strings"


def test_too_many_stops() -> None:
    """Five are one too many."""
    assert refusal(Stop(), list("abcde")) == "must hold 4 strings at most"


def test_a_refused_field_has_harmless_values() -> None:
    """What changes nothing is taken and dropped, everything else is refused with the reason."""
    field = Refused("not here", False, "auto", [])
    assert [load(field, value) for value in (False, "auto", [])] == [None, None, None]
    for value in (True, 0, "", "none", [1], {}, 0.0):
        assert refusal(field, value) == "not here"


def test_a_text_has_its_length() -> None:
    """The bound belongs to what is allowed."""
    assert load(Text(3), "abc") == "abc"
    assert refusal(Text(3), "abcd") == "must have 3 characters at most"


@pytest.mark.parametrize("value", ["c", 1, "", None])
def test_one_of_some_values(value: Any) -> None:
    """By value and type; the message lists them."""
    assert load(Choice("a", True), "a") == "a"
    if value is not None:
        assert refusal(Choice("a", True), value) == "must be one of a, true"
