"""Parameters of methods: what passes, and what the caller is told otherwise."""

from __future__ import annotations

from typing import Any

import pytest
from marshmallow import ValidationError, fields

from app.gateway_ws.params import Choice, Group, Items, Text, load, not_here, params, whole
from app.http.fields import first_fault

SCHEMA = params(
    name=Text(required=True),
    count=whole(0, 2**53, required=True),
    more=Group(params(name=Text(required=True), note=Text())),
    several=Items(fields.Dict(), 2),
    kind=Choice(True, "all"),
    deliver=not_here(False),
    mode=not_here("followup", "collect"),
    cwd=not_here(),
    text=not_here(""),
)
RIGHT = {"name": "n", "count": 1}


def fault(given: Any) -> str:
    with pytest.raises(ValidationError) as refusal:
        load(SCHEMA, given)
    return ": ".join(first_fault(refusal.value.messages))


@pytest.mark.parametrize(
    ("given", "told"),
    [
        ([], "_schema: must be an object"),
        ({"count": 1}, "name: is required"),
        ({"name": "n"}, "count: is required"),
        ({**RIGHT, "count": None}, "count: must not be null"),
        ({**RIGHT, "count": -1}, "count: must be from 0 to 9007199254740992"),
        ({**RIGHT, "name": None}, "name: must not be null"),
        ({**RIGHT, "surprise": 1}, "surprise: is not a parameter of this method"),
        ({**RIGHT, "more": []}, "more: must be an object"),
        ({**RIGHT, "more": {}}, "more.name: is required"),
        ({**RIGHT, "more": {"name": "n", "surprise": 1}}, "more.surprise: is not a parameter of this method"),
        ({**RIGHT, "several": [{}, 1]}, "several[1]: must be an object"),
        ({**RIGHT, "several": [None]}, "several[0]: must not be null"),
        ({**RIGHT, "kind": 1}, "kind: must be one of true, all"),
        ({**RIGHT, "deliver": True}, "deliver: is not supported by this gateway; allowed: false"),
        ({**RIGHT, "mode": "steer"}, "mode: is not supported by this gateway; allowed: followup, collect"),
        ({**RIGHT, "cwd": "/"}, "cwd: is not supported by this gateway; leave it out"),
        ({**RIGHT, "text": "x"}, "text: is not supported by this gateway; leave it out"),
    ],
    ids=lambda value: value.replace(" ", "-") if isinstance(value, str) else "",
)
def test_a_fault_says_where_it_is_and_what_to_do(given: Any, told: str) -> None:
    """In the same words for every method."""
    assert fault(given) == told


def test_nulls_and_harmless_values_are_left_out() -> None:
    """In groups as well."""
    given = {**RIGHT, "more": {"name": "n", "note": None}, "several": None, "deliver": False, "mode": "collect"}
    assert load(SCHEMA, given) == {**RIGHT, "more": {"name": "n"}}
    assert load(SCHEMA, {**RIGHT, "more": None, "kind": True, "text": ""}) == {**RIGHT, "kind": True}
