"""Where secrets stand in the file, and which names look like a secret's."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any

_SECRET_KEYS = frozenset({"token", "password", "apiKey"})
_SECRET_MAPS = frozenset({"headers", "env"})
_SECRET_NAME = re.compile(r"authorization|cookie|key|password|secret|token", re.IGNORECASE)


def is_secret(path: Sequence[str | int]) -> bool:
    """Whether a secret may stand at this path."""
    return bool(path) and (path[-1] in _SECRET_KEYS or any(key in _SECRET_MAPS for key in path[:-1]))


def looks_secret(name: str) -> bool:
    """Whether a header or a variable of this name is likely to hold a secret."""
    return bool(_SECRET_NAME.search(name))


def has_literal_secret(value: Any, path: tuple[str, ...] = ()) -> bool:
    """Whether a secret is written out in this document, where ``${NAME}`` or a reference could stand."""
    if isinstance(value, dict):
        return any(has_literal_secret(inner, (*path, key)) for key, inner in value.items())
    if isinstance(value, list):
        return any(has_literal_secret(inner, path) for inner in value)
    return isinstance(value, str) and "${" not in value and _holds_secret(path)


def _holds_secret(path: tuple[str, ...]) -> bool:
    in_map = len(path) > 1 and path[-2] in _SECRET_MAPS
    return path[-1] in _SECRET_KEYS or (in_map and looks_secret(path[-1]))
