"""Marshmallow fields whose only message says what is allowed; the report adds where it is and what was found."""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Mapping
from ipaddress import IPv4Network, IPv6Network, ip_address, ip_network
from types import MappingProxyType
from typing import Any
from urllib.parse import urlsplit

from marshmallow import ValidationError, fields, validate

from app.config.faults import NAME
from app.config.patterns import BadPattern, read_pattern

# orjson writes 254 levels, and the object stands some levels deep in a request.
MAX_DEPTH = 200
LOOPBACK: tuple[IPv4Network | IPv6Network, ...] = (ip_network("127.0.0.0/8"), ip_network("::1/128"))
_MESSAGES = ("required", "null", "invalid", "invalid_utf8", "special", "too_large", "type")
_DURATION = re.compile(r"(\d{1,9})(ms|[smhdw])\Z", re.ASCII)
_SECONDS = {"ms": 0.001, "s": 1, "m": 60, "h": 3600, "d": 86_400, "w": 604_800}
_ORIGIN = re.compile(r"[a-z][a-z0-9+.-]*://[^\s/?#@]+\Z")
# What older files list among the origins, though no page that should be let in says so of itself: any page, one of no
# origin, one of a file, and the name of a host.
_NO_ORIGIN = re.compile(r"\*|null|file://|(?:[a-z0-9_][a-z0-9._-]*|\[[0-9a-f:.]+\])(?::[0-9]{1,5})?", re.ASCII)
_ORIGIN_ALLOWED = 'an origin such as "https://example.com"'
_HTTP_URL = re.compile(r"(?i:https?)://[^\s\x00-\x1f\x7f]+\Z")
HTTP_URL = "a URL that begins with http:// or https://, without spaces"
_HOST_AND_PORT = "a host in ASCII and, if any, a port from 1 to 65535"
_STORAGE_URL = re.compile(r"(?i)(sqlite:///|postgresql://)((?!\s)[^\x00-\x1f\x7f-\x9f]+(?<!\s))\Z")
_MODEL = re.compile(r"[^\s/]+/[^\s\x00-\x1f\x7f]+\Z")
_MODEL_ALLOWED = '"provider/model", or an object with primary and fallbacks'


def says(allowed: str) -> dict[str, Any]:
    """Every error message of a field or a schema as one: what is allowed."""
    return dict.fromkeys(_MESSAGES, allowed)


class Flag(fields.Boolean):
    """Strictly ``true`` or ``false``."""

    def __init__(self) -> None:
        super().__init__(error_messages=says("true or false"))

    def _deserialize(self, value: Any, attr: str | None, data: Any, **kwargs: Any) -> bool:
        if not isinstance(value, bool):
            raise self.make_error("invalid")
        return value


class _Number(fields.Float):
    def _validated(self, value: Any) -> float:
        if isinstance(value, str):  # marshmallow would take "600"
            raise self.make_error("invalid")
        return super()._validated(value)


class AnyObject(fields.Field[dict[str, Any]]):
    """An object that goes to a provider as it is. names: the keys that count; others are OpenClaw's and ignored."""

    def __init__(self, *names: str) -> None:
        super().__init__(error_messages=says("an object, nested 200 levels at most"), metadata={"names": names})
        self._names = names

    def _deserialize(self, value: Any, attr: str | None, data: Any, **kwargs: Any) -> dict[str, Any]:
        if not isinstance(value, dict) or _depth_exceeds(value, MAX_DEPTH):
            raise self.make_error("invalid")
        if wrong := [name for name in self._names if not isinstance(value.get(name, {}), dict)]:
            raise ValidationError({name: ["an object"] for name in wrong})
        return value


# Sampling that ``params`` of an agent's model may hold, by the names that people write, as the OpenAI API calls it.
SAMPLING: Mapping[str, str] = MappingProxyType(
    {
        "temperature": "temperature",
        "topP": "top_p",
        "top_p": "top_p",
        "topK": "top_k",
        "top_k": "top_k",
        "minP": "min_p",
        "min_p": "min_p",
        "seed": "seed",
        "maxTokens": "max_tokens",
        "max_tokens": "max_tokens",
        "presencePenalty": "presence_penalty",
        "presence_penalty": "presence_penalty",
        "frequencyPenalty": "frequency_penalty",
        "frequency_penalty": "frequency_penalty",
    }
)


class Params(AnyObject):
    """What a model is asked with where a caller says nothing: sampling in numbers, besides the objects of ``names``."""

    def __init__(self, *names: str) -> None:
        super().__init__(*names)
        self.metadata = {**self.metadata, "names": (*names, *SAMPLING)}

    def _deserialize(self, value: Any, attr: str | None, data: Any, **kwargs: Any) -> dict[str, Any]:
        given = value if isinstance(value, dict) else {}
        sampling = {name: given[name] for name in SAMPLING if name in given}
        if wrong := [name for name, each in sampling.items() if not isinstance(each, int | float) or each is True]:
            raise ValidationError({name: ["a number"] for name in wrong})
        checked = super()._deserialize(
            {key: each for key, each in given.items() if key not in SAMPLING} if given else value, attr, data, **kwargs
        )
        return {**checked, **sampling}


def _depth_exceeds(value: Any, most: int) -> bool:
    level = [value]
    for _ in range(most):
        level = [
            inner
            for each in level
            for inner in (each.values() if isinstance(each, dict) else each if isinstance(each, list) else ())
        ]
        if not level:
            return False
    return True


class Scalar(fields.Field[str]):
    """Text; a number or a boolean is written out, as a process's environment needs it."""

    def __init__(self) -> None:
        super().__init__(error_messages=says("text, a number or a boolean"))

    def _deserialize(self, value: Any, attr: str | None, data: Any, **kwargs: Any) -> str:
        if isinstance(value, bool):
            return str(value).lower()
        if not isinstance(value, str | int | float):
            raise self.make_error("invalid")
        return str(value)


class Parsed(fields.Field[Any]):
    """Text that ``parse`` turns into a value.

    For any other text ``parse`` raises ``ValueError``, or ``ValidationError`` to say more closely what is allowed.
    """

    def __init__(self, parse: Callable[[str], Any], allowed: str, *, required: bool = False) -> None:
        super().__init__(error_messages=says(allowed), required=required)
        self.parse = parse

    def _deserialize(self, value: Any, attr: str | None, data: Any, **kwargs: Any) -> Any:
        if not isinstance(value, str):
            raise self.make_error("invalid")
        try:
            return self.parse(value)
        except ValueError:
            raise self.make_error("invalid") from None


class Origins(fields.List[str]):
    """A list of origins, loaded without the entries of which ``is_left_out`` holds."""

    def __init__(self) -> None:
        one = Parsed(lambda value: "" if is_left_out(value) else _parse_origin(value), _ORIGIN_ALLOWED)
        super().__init__(one, error_messages=says("a list of origins"))

    def _deserialize(self, value: Any, attr: str | None, data: Any, **kwargs: Any) -> list[Any]:
        return [origin for origin in super()._deserialize(value, attr, data, **kwargs) if origin]


class Entries(fields.Dict):
    """An object with checked values. name: what a name may be, in words and as a pattern."""

    def __init__(self, values: fields.Field[Any], allowed: str, name: tuple[str, str]) -> None:
        super().__init__(values=values, error_messages=says(allowed))
        self.name_allowed, pattern = name
        self.name_pattern = re.compile(pattern)

    def _deserialize(self, value: Any, attr: str | None, data: Any, **kwargs: Any) -> dict[str, Any]:
        errors: dict[str, Any] = {}
        try:
            checked: dict[str, Any] = super()._deserialize(value, attr, data, **kwargs)  # type: ignore[no-untyped-call]
        except ValidationError as error:
            if not isinstance(error.messages, dict):
                raise
            errors = {name: inner["value"] for name, inner in error.messages.items()}
            checked = error.valid_data  # type: ignore[assignment]
        errors |= {name: {NAME: [self.name_allowed]} for name in value if not self.name_pattern.match(name)}
        if errors:
            raise ValidationError(errors, valid_data=checked)
        return checked


class Model(fields.Nested):
    """``"provider/model"``, or an object with ``primary`` and ``fallbacks``; always loaded as the object."""

    def _deserialize(
        self, value: Any, attr: str | None, data: Any, partial: Any = None, **kwargs: Any
    ) -> dict[str, Any]:
        if isinstance(value, str) and _MODEL.match(value):
            return {"primary": value}
        if not isinstance(value, dict):
            raise ValidationError(_MODEL_ALLOWED)
        loaded: dict[str, Any] = super()._deserialize(value, attr, data, partial, **kwargs)
        return loaded


def integer(low: int, high: int) -> fields.Integer:
    allowed = f"an integer from {low} to {high}"
    return fields.Integer(strict=True, validate=validate.Range(low, high, error=allowed), error_messages=says(allowed))


def seconds(high: int) -> fields.Float:
    """A number of seconds, above 0."""
    allowed = f"a number above 0, at most {high}"
    in_range = validate.Range(0, high, min_inclusive=False, error=allowed)
    return _Number(validate=in_range, error_messages=says(allowed))


def price() -> fields.Float:
    allowed = "a number, 0 or more"
    return _Number(validate=validate.Range(0, error=allowed), error_messages=says(allowed))


def text(
    allowed: str = "text, not empty", pattern: str = r"(?s)[^\x00]*\S[^\x00]*\Z", *, required: bool = False
) -> fields.String:
    return fields.String(
        validate=validate.Regexp(pattern, error=allowed), error_messages=says(allowed), required=required
    )


def secret() -> fields.String:
    # What can't stand in a header could never be matched by a caller.
    return text("text of at least one character, no control characters, no space around it",
                r"(?!\s)[^\x00-\x1f\x7f]+(?<!\s)\Z")  # fmt: skip


def header_value() -> fields.String:
    """What a client can send as a header; Latin-1, as RFC 9110 section 5.5 has it, without control characters."""
    return text("text of at least one character, all Latin-1, no control characters, no space around it",
                r"(?!\s)[ -~\xa0-\xff]+(?<!\s)\Z")  # fmt: skip


def choice(*names: str, replaced: Mapping[str, str] | None = None, unusable: Collection[str] = ()) -> fields.String:
    """One of ``names``. replaced: OpenClaw's other values, each with the nearest safer one of ours.

    unusable: values that are read, so that whoever needs what they stand for can be told why it isn't there.
    """
    quoted = [f'"{name}"' for name in names]
    allowed = f"{', '.join(quoted[:-1])} or {quoted[-1]}"
    return fields.String(
        validate=validate.OneOf((*names, *unusable), error=allowed),
        error_messages=says(allowed),
        metadata={"replaced": replaced or {}},
    )


def several(inner: fields.Field[Any], allowed: str, most: int | None = None) -> fields.List[Any]:
    """A list. most: how many entries it may have."""
    counted = validate.Length(max=most, error=allowed) if most else None
    return fields.List(inner, validate=counted, error_messages=says(allowed))


def texts(allowed: str = "a list of texts") -> fields.List[Any]:
    return several(text(), allowed)


def nested(schema: Any, allowed: str = "an object") -> fields.Nested:
    return fields.Nested(schema, error_messages=says(allowed))


def duration() -> Parsed:
    """Seconds, written as ``30d``, ``12h``, ``45m``, ``90s``."""

    def parse(value: str) -> float:
        match = _DURATION.match(value)
        if not match or int(match[1]) == 0:
            raise ValueError(value)
        return float(int(match[1]) * _SECONDS[match[2]])

    return Parsed(parse, 'a duration above 0 such as "30d", "12h", "45m" or "90s"')


def networks() -> Parsed:
    """An address or a network, as a tuple of one; ``loopback`` stands for both networks of this machine."""

    def parse(value: str) -> tuple[IPv4Network | IPv6Network, ...]:
        return LOOPBACK if value == "loopback" else (ip_network(value, strict=False),)

    return Parsed(parse, 'an IP address, a CIDR such as "10.0.0.0/8", or "loopback"')


def address() -> Parsed:
    return Parsed(lambda value: str(ip_address(value)), "an IP address")


def origin() -> Parsed:
    return Parsed(_parse_origin, _ORIGIN_ALLOWED)


def is_left_out(entry: Any) -> bool:
    """Whether a list of origins goes without this entry: ``*``, ``null``, ``file://`` or the bare name of a host."""
    if not isinstance(entry, str):
        return False
    folded = entry.lower()
    return bool(_NO_ORIGIN.fullmatch(folded) or _NO_ORIGIN.fullmatch(folded.removesuffix("/")))


def _parse_origin(value: str) -> str:
    folded = value.lower().removesuffix("/")
    if not _ORIGIN.match(folded):
        raise ValueError(value)
    return folded


def pattern() -> Parsed:
    """A regular expression as OpenClaw has it; loaded as Python's."""

    def parse(value: str) -> re.Pattern[str]:
        try:
            return read_pattern(value)
        except BadPattern as bad:
            raise ValidationError(f"another regular expression: of this one, {bad}") from None

    return Parsed(parse, 'a regular expression such as "sk-[a-z0-9]+" or "/secret/i"')


def model_reference() -> fields.String:
    return text('"provider/model"', _MODEL.pattern)


def model_choice(schema: Any) -> Model:
    return Model(schema, error_messages=says(_MODEL_ALLOWED))


def url_of(*schemes: str, required: bool = False) -> fields.String:
    allowed = "a URL that begins with " + " or ".join(schemes)
    begins = "|".join(map(re.escape, schemes))
    return text(allowed, rf"(?i:{begins})[^\s\x00-\x1f\x7f]+\Z", required=required)


def http_url(*, required: bool = False) -> Parsed:
    """A URL that paths can be added to. Its messages begin with "a URL", so that the report shows the scheme alone."""

    def parse(value: str) -> str:
        if not _HTTP_URL.match(value):
            raise ValueError(value)
        try:
            value.encode()  # a lone surrogate can't be sent
            url = urlsplit(value)
            host, port = url.hostname or "", url.port
            host.encode("idna")  # raises UnicodeError, a ValueError, for labels that no name server takes
        except ValueError:
            raise ValidationError(f"a URL with {_HOST_AND_PORT}") from None
        if "@" in url.netloc:
            raise ValidationError("a URL without user and password: apiKey or headers hold what the server asks for")
        if "?" in value or "#" in value:
            raise ValidationError("a URL without query (?) and fragment (#)")
        if not host or not host.isascii() or port == 0:
            raise ValidationError(f"a URL with {_HOST_AND_PORT}")
        return value

    return Parsed(parse, HTTP_URL, required=required)


def storage_url() -> Parsed:
    """``sqlite:///`` with a path that is taken as it is, nothing in it is decoded; or ``postgresql://``."""

    def parse(value: str) -> str:
        match = _STORAGE_URL.match(value)
        if not match:
            raise ValueError(value)
        scheme, rest = match[1].lower(), match[2]
        if "%00" in rest:
            raise ValidationError("a URL without %00")
        if scheme == "postgresql://":
            if re.search(r"\s", rest):
                raise ValueError(value)
            return scheme + rest
        if rest == ":memory:":
            raise ValidationError("a URL with a file's path: a database in memory would lose every session")
        if "?" in rest:
            raise ValidationError("a URL without query (?)")
        rest.encode()  # a lone surrogate, which SQLite refuses, is a ValueError
        return scheme + rest

    return Parsed(parse, "a URL that begins with sqlite:///, with a path after it, or postgresql://")
