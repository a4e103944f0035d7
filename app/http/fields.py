"""Fields of a request: strict about types, because ``"0.5"`` for ``0.5`` is a mistake that should be told."""

from __future__ import annotations

from collections.abc import Sequence
from math import inf
from typing import Any

import orjson
from marshmallow import Schema, ValidationError, fields

# Bytes of an object's JSON.
MAX_OBJECT = 1024 * 1024


def may_fit(value: Any, max_bytes: int) -> bool:
    """Whether a value's JSON may have so few bytes. False is certain, and known without looking at all of it."""
    waiting, size = [value], 0
    while waiting:
        each = waiting.pop()
        if isinstance(each, dict):
            waiting += each.values() if len(each) <= max_bytes else ()
            size += 2 * len(each) + sum(map(len, each)) if len(each) <= max_bytes else max_bytes
        elif isinstance(each, list):
            waiting += each if len(each) <= max_bytes else ()
            size += len(each)
        elif isinstance(each, str):
            size += len(each)
        size += 1
        if size > max_bytes:
            return False
    return True


class Number(fields.Field[float]):
    """A JSON number within bounds, a whole one with ``whole``; ``true`` is none."""

    def __init__(
        self, minimum: float = -inf, maximum: float = inf, *, whole: bool = False, required: bool = False
    ) -> None:
        super().__init__(required=required, allow_none=not required)
        self._minimum = minimum
        self._maximum = maximum
        self._types: tuple[type, ...] = (int,) if whole else (int, float)
        self._kind = "an integer" if whole else "a number"

    def _deserialize(self, value: Any, attr: str | None, data: Any, **kwargs: Any) -> float:
        if type(value) not in self._types:
            raise ValidationError(f"must be {self._kind}")
        if value < self._minimum or value > self._maximum:
            if self._maximum == inf:
                raise ValidationError(f"must be {_bound(self._minimum)} or more")
            raise ValidationError(f"must be from {_bound(self._minimum)} to {_bound(self._maximum)}")
        result: float = value
        return result


def _bound(number: float) -> str:
    return str(number) if isinstance(number, int) else f"{number:g}"


class Flag(fields.Field[bool]):
    """``true`` or ``false``, not a word or a number that means it."""

    def __init__(self) -> None:
        super().__init__(allow_none=True)

    def _deserialize(self, value: Any, attr: str | None, data: Any, **kwargs: Any) -> bool:
        if not isinstance(value, bool):
            raise ValidationError("must be true or false")
        return value


class Text(fields.Field[str]):
    """most: characters."""

    def __init__(self, most: int | None = None) -> None:
        super().__init__(allow_none=True)
        self._most = most

    def _deserialize(self, value: Any, attr: str | None, data: Any, **kwargs: Any) -> str:
        if not isinstance(value, str):
            raise ValidationError("must be a string")
        if self._most is not None and len(value) > self._most:
            raise ValidationError(f"must have {self._most:,} characters at most")
        return value


class Choice(fields.Field[Any]):
    """One of these values."""

    def __init__(self, *values: Any) -> None:
        super().__init__(allow_none=True)
        self._values = values

    def _deserialize(self, value: Any, attr: str | None, data: Any, **kwargs: Any) -> Any:
        # By its type as well: 1 equals true.
        if not any(type(value) is type(each) and value == each for each in self._values):
            raise ValidationError(f"must be one of {listed(self._values)}")
        return value


class Object(fields.Field[dict[str, Any]]):
    def __init__(self) -> None:
        super().__init__(allow_none=True)

    def _deserialize(self, value: Any, attr: str | None, data: Any, **kwargs: Any) -> dict[str, Any]:
        if not isinstance(value, dict):
            raise ValidationError("must be an object")
        if not may_fit(value, MAX_OBJECT):
            raise ValidationError(f"must be JSON of {MAX_OBJECT:,} bytes at most")
        try:
            # It is read to a depth of 1024 but can be written to one of 254 only, a level deeper than it stands here.
            orjson.dumps([value])
        except TypeError:
            raise ValidationError("is nested too deeply") from None
        return value


class Stop(fields.Field[list[str]]):
    """One string or up to four."""

    MOST = 4

    def __init__(self) -> None:
        super().__init__(allow_none=True)

    def _deserialize(self, value: Any, attr: str | None, data: Any, **kwargs: Any) -> list[str]:
        stops = [value] if isinstance(value, str) else value
        if value == "":
            return []
        if not isinstance(stops, list) or not all(isinstance(stop, str) and stop for stop in stops):
            raise ValidationError("must be a string or a list of non-empty strings")
        if len(stops) > self.MOST:
            raise ValidationError(f"must hold {self.MOST} strings at most")
        return stops


class Refused(fields.Field[None]):
    """A field whose every value but null, and those of ``harmless``, is refused with a reason."""

    def __init__(self, reason: str, *harmless: Any) -> None:
        super().__init__(allow_none=True)
        self._reason = reason
        self._harmless = harmless

    def _deserialize(self, value: Any, attr: str | None, data: Any, **kwargs: Any) -> None:
        if not any(type(value) is type(harmless) and value == harmless for harmless in self._harmless):
            raise ValidationError(self._reason)


def load_fields(schema: Schema, data: Any) -> dict[str, Any]:
    """What the schema makes of it. Raises ValidationError."""
    try:
        loaded: dict[str, Any] = schema.load(data)
    except ValidationError as error:
        # marshmallow's frame holds the error that it raises: a circle, and all that was sent is in it.
        raise error.with_traceback(None) from None
    return loaded


def listed(values: Sequence[Any]) -> str:
    return ", ".join(value if isinstance(value, str) else orjson.dumps(value).decode() for value in values)


def first_fault(messages: Any) -> tuple[str, str]:
    """What marshmallow says, such as ``{"messages": {2: {"role": ["…"]}}}``, as ``("messages[2].role", "…")``.

    ``_schema``, which stands for an object as a whole, is the path of the outermost only.
    """
    path = ""
    while isinstance(messages, dict):
        key, messages = next(iter(messages.items()))
        if key == "_schema" and path:
            continue
        path += f"[{key}]" if isinstance(key, int) else f".{key}" if path else str(key)
    return path, messages[0] if isinstance(messages, list) else str(messages)
