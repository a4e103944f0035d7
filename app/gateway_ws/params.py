"""Schemas of methods' parameters: strict, because a parameter that is not understood would change what is done."""

from __future__ import annotations

from typing import Any

from marshmallow import RAISE, Schema, ValidationError, fields

from app.http.fields import Choice, Flag, Number, Object, Refused, listed, load_fields

__all__ = [
    "Choice",
    "Flag",
    "Group",
    "Ignored",
    "Items",
    "Number",
    "Object",
    "Text",
    "load",
    "not_here",
    "params",
    "whole",
]

# Characters of a parameter that names something: a key, an id, a label.
NAME = 512

# What is said instead of marshmallow's own words. "invalid" is its Dict's, the one field of its own with a type here.
_OF_FIELDS = {"required": "is required", "null": "must not be null", "invalid": "must be an object"}
_OF_SCHEMAS = {"unknown": "is not a parameter of this method", "type": "must be an object"}
# Parameters of one request; no method has more.
MAX_GIVEN = 100


class Text(fields.Field[str]):
    """A string of ``minimum`` to ``maximum`` characters; surrounding white space of a name is none of it."""

    def __init__(self, maximum: int = NAME, *, minimum: int = 1, required: bool = False, strip: bool = True) -> None:
        super().__init__(required=required, allow_none=not required)
        self._minimum = minimum
        self._maximum = maximum
        self._strip = strip

    def _deserialize(self, value: Any, attr: str | None, data: Any, **kwargs: Any) -> str:
        if not isinstance(value, str):
            raise ValidationError("must be a string")
        text = value.strip() if self._strip else value
        if len(text) < self._minimum:
            raise ValidationError("must not be empty" if self._minimum == 1 else f"needs {self._minimum} characters")
        if len(text) > self._maximum:
            raise ValidationError(f"must have {self._maximum:,} characters at most")
        return text


class Items(fields.Field[list[Any]]):
    """A list of up to ``most`` values, each checked by ``inner``."""

    def __init__(self, inner: fields.Field[Any], most: int, *, required: bool = False) -> None:
        super().__init__(required=required, allow_none=not required)
        self._inner = _worded(inner)
        self._most = most

    def _deserialize(self, value: Any, attr: str | None, data: Any, **kwargs: Any) -> list[Any]:
        if not isinstance(value, list):
            raise ValidationError("must be a list")
        if len(value) > self._most:
            raise ValidationError(f"must hold {self._most} items at most")
        found = []
        for index, item in enumerate(value):
            try:
                if item is None:
                    raise ValidationError("must not be null")
                found.append(self._inner.deserialize(item))
            except ValidationError as error:
                raise ValidationError({index: error.messages}) from None
        return found


class Group(fields.Field[dict[str, Any]]):
    """An object with parameters of its own."""

    def __init__(self, schema: Schema, *, required: bool = False) -> None:
        super().__init__(required=required, allow_none=not required)
        self._schema = schema

    def _deserialize(self, value: Any, attr: str | None, data: Any, **kwargs: Any) -> dict[str, Any]:
        return load(self._schema, value)


class Ignored(fields.Field[None]):
    """A published parameter that says nothing to this gateway, so that clients may send it all the same."""

    def __init__(self) -> None:
        super().__init__(allow_none=True)

    def _deserialize(self, value: Any, attr: str | None, data: Any, **kwargs: Any) -> None:
        return None


def whole(minimum: int, maximum: int, *, required: bool = False) -> Number:
    return Number(minimum, maximum, whole=True, required=required)


def not_here(*harmless: Any) -> Refused:
    """A published parameter that would ask for something that this gateway doesn't have."""
    allowed = [value for value in harmless if value not in ("", [], {})]
    do = f"allowed: {listed(allowed)}" if allowed else "leave it out"
    return Refused(f"is not supported by this gateway; {do}", *harmless)


def params(**by_name: fields.Field[Any]) -> Schema:
    """The schema of one method, a field for each parameter under its name on the wire; others are an error."""
    schema = Schema.from_dict({name: _worded(field) for name, field in by_name.items()})(unknown=RAISE)
    schema.error_messages |= _OF_SCHEMAS
    return schema


def load(schema: Schema, given: Any) -> dict[str, Any]:
    """The checked parameters, nulls left out. Raises ValidationError."""
    if isinstance(given, dict) and len(given) > MAX_GIVEN:
        # marshmallow would make an error of each that it doesn't know.
        raise ValidationError(f"must have {MAX_GIVEN} members at most")
    loaded = load_fields(schema, {} if given is None else given)
    return {name: value for name, value in loaded.items() if value is not None}


def _worded(field: fields.Field[Any]) -> fields.Field[Any]:
    field.error_messages = {**(field.error_messages or {}), **_OF_FIELDS}
    return field
