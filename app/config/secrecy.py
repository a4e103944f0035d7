"""Where secrets stand in the file, and which names look like a secret's."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from typing import Any

_SECRET_KEYS = frozenset({"token", "password", "apiKey"})
_SECRET_MAPS = frozenset({"headers", "env"})
# Other keys that OpenClaw's files hold secrets at, plugins' and channels' included.
_SECRET_FIELD = re.compile(
    r"(token|passw(or)?d|passphrase|secret|credentials?|authorization|cookie|service_?account"
    r"|(api|access|auth|client|encrypt(ion)?|private|secret|signing)[_-]?key)\Z|^key\Z",
    re.IGNORECASE,
)
# ``${NAME}``, or ``$${NAME}`` for that very text. Only capitals: ``${name}`` is JavaScript in somebody's prompt.
VARIABLE = re.compile(r"(\$?)\$\{([A-Z_][A-Z0-9_]*)\}")
_REFERENCE = re.compile(r"\$\{[A-Z_][A-Z0-9_]*\}\Z")
SECRET_PARAMETER = re.compile(r"auth|key|pass|secret|sig|token", re.IGNORECASE)
_SECRET_NAME = re.compile(
    r"auth(?!or(?!i[sz]))|bearer|cookie|credential|key|pass(?!age|ive|through)|(?<=[_-])pwd|secret|token"
    r"|(?<![a-z])pat(?![a-z])",
    re.IGNORECASE,
)


def is_secret(path: Sequence[str | int]) -> bool:
    """Whether a secret may stand at this path."""
    return bool(path) and (path[-1] in _SECRET_KEYS or any(key in _SECRET_MAPS for key in path[:-1]))


def looks_secret(name: str) -> bool:
    """Whether a header or a variable of this name is likely to hold a secret."""
    return bool(_SECRET_NAME.search(name))


def is_guarded(path: Sequence[str | int]) -> bool:
    """Whether what is written out at or below this path is never shown. A wider net than ``is_secret``.

    In ``headers`` and ``env`` it is everything: names say too little there. Ask for each step of a path.
    """
    if len(path) > 1 and path[-2] in _SECRET_MAPS:
        return True
    return bool(path) and isinstance(path[-1], str) and bool(_SECRET_FIELD.search(path[-1]))


def is_reference(text: str) -> bool:
    """Whether a text is ``${NAME}`` and no more, so that the secret isn't in it."""
    return bool(_REFERENCE.match(text))


def literal_secrets(value: Any, path: tuple[str | int, ...] = ()) -> Iterator[tuple[str | int, ...]]:
    """Where in this document a secret is written out, although ``${NAME}`` or a reference could stand there."""
    if isinstance(value, dict | list):
        for key, inner in value.items() if isinstance(value, dict) else enumerate(value):
            yield from literal_secrets(inner, (*path, key))
    elif isinstance(value, str) and not _has_reference(value) and _holds_secret(path):
        yield path


def _has_reference(text: str) -> bool:
    return any(not escaped for escaped, _ in VARIABLE.findall(text))


def _holds_secret(path: Sequence[str | int]) -> bool:
    names = [key for key in path if isinstance(key, str)]
    in_map = len(names) > 1 and (names[-2] in _SECRET_MAPS or names[:-1] == ["env", "vars"])
    return bool(names) and (names[-1] in _SECRET_KEYS or (in_map and looks_secret(names[-1])))
