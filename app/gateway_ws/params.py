"""Schemas of methods' parameters: strict, because a parameter that is not understood would change what is done."""

from __future__ import annotations

from typing import Any

from marshmallow import RAISE, Schema, ValidationError, fields

from app.http.fields import Flag, Number, Object, Refused

__all__ = ["Flag", "Ignored", "Items", "Number", "Object", "Refused", "Text", "load", "not_here", "params", "whole"]

# Characters of a parameter that names something: a key, an id, a label.
NAME = 512


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
        self._inner = inner
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


class Ignored(fields.Field[None]):
    """A published parameter that says nothing to this gateway, so that clients may send it all the same."""

    def __init__(self) -> None:
        super().__init__(allow_none=True)

    def _deserialize(self, value: Any, attr: str | None, data: Any, **kwargs: Any) -> None:
        return None


def whole(minimum: int, maximum: int) -> Number:
    return Number(minimum, maximum, whole=True)


def not_here(*harmless: Any) -> Refused:
    """A published parameter that would ask for something that this gateway doesn't have."""
    return Refused("is not supported by this gateway", *harmless)


def params(**by_name: fields.Field[Any]) -> Schema:
    """The schema of one method, a field for each parameter under its name on the wire; others are an error."""
    return Schema.from_dict(by_name)(unknown=RAISE)


def load(schema: Schema, given: Any) -> dict[str, Any]:
    """The checked parameters, nulls left out. Raises ValidationError."""
    loaded: dict[str, Any] = schema.load({} if given is None else given)
    return {name: value for name, value in loaded.items() if value is not None}
